//! The examples in the commands' help.

pub(crate) const K2O: &str = "\
Examples:
  k2o summary model.keras
  k2o check model.json
  k2o convert model.keras -o model.onnx
  k2o predict model.keras -i x.npy -o y.npy
  k2o verify model.keras";

pub(crate) const CONVERT: &str = "\
Examples:
  Write model.onnx beside the model:
    k2o convert model.keras
  Fix the batch and the number of steps, and store weights in half precision:
    k2o convert model.h5 -o small.onnx --input-shape 1,100,3 --weights-type f16
  Write several models into a folder, each under its name:
    k2o convert a.h5 b.keras -o onnx/
  Keep what is said of it for a script:
    k2o convert model.keras --json > converted.json";

pub(crate) const SUMMARY: &str = "\
Examples:
  Show what the layers cost, and how many seconds of a sensor at 100 Hz each step sees:
    k2o summary model.keras --cost --rate 100
  Show the model up to a layer:
    k2o summary model.keras --until conv1d_3
  Show a model whose activation is a function of your own:
    k2o summary model.h5 --define '<lambda>=relu(negative_slope=0.1)'";

pub(crate) const CHECK: &str = "\
Examples:
  See whether the layers of a config fit each other:
    k2o check model.json
  Check a model and its weights in a script:
    k2o check --quiet model.keras";

pub(crate) const WHAT_IF: &str = "\
Examples:
  Show the shapes for 64 steps of one channel:
    k2o what-if model.keras --input 64,1
  Leave the number of steps open, and see the shortest input that works:
    k2o what-if model.keras --input None,1";

pub(crate) const PLOT: &str = "\
Examples:
  Draw model.svg beside the model:
    k2o plot model.keras
  Draw the layers of nested models too, for Graphviz:
    k2o plot model.keras --expand -o model.dot";

pub(crate) const REPORT: &str = "\
Examples:
  Write model.html beside the model:
    k2o report model.keras
  Compare every layer with the reference in double precision, too:
    k2o report model.keras --verify -o page.html";

pub(crate) const PREDICT: &str = "\
Examples:
  Run a model on the array in a file:
    k2o predict model.keras -i x.npy -o y.npy
  Run it on the lines of a table, and print what comes out:
    k2o predict model.keras -i x.csv -o - --format csv
  Stand in a pipe, 256 examples at a time, with 4 threads:
    cat x.npz | k2o predict model.keras -i - -o - --batch-size 256 --threads 4 > y.npy
  Give what a layer in the middle computes:
    k2o predict model.keras -i x.npy -o y.npy --until conv1d_3";

pub(crate) const VERIFY: &str = "\
Examples:
  Check every layer on random inputs:
    k2o verify model.keras
  Compare with what Keras computed:
    k2o verify model.keras -i x.npy -e y.npy
  See what weights in half precision change:
    k2o verify model.keras --weights-type f16
  Check in a script:
    k2o verify --quiet model.keras && k2o convert model.keras";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  k2o completions bash > k2o.bash
  k2o completions zsh > _k2o
  k2o completions fish > k2o.fish";

pub(crate) const MAN: &str = "\
Examples:
  k2o man > k2o.1
  k2o man -o man1/";
