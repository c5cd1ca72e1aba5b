//! Hostile files that are too large to be kept.

/// A name, the bytes, the exit status and words of what is said.
pub fn files() -> Vec<(&'static str, Vec<u8>, i32, &'static str)> {
    let nested = |count: usize| ["{\"class_name\":".repeat(count), "1".into(), "}".repeat(count)].concat();
    vec![
        ("deep.h5", deep_groups(100_000), 5, "nested more than 64 levels deep"),
        ("deep.json", nested(1_000_000).into_bytes(), 5, "nested more than 128 levels deep"),
        ("attributes.h5", attributes(15_000), 4, "layer_names names \"a\", but there is no such group"),
        ("links.h5", links(60_000), 3, "\"layers/1\": the same object as \"layers/0\""),
        ("soft.h5", soft_links(60_000), 3, "\"layers/0\": a soft link, to \"/layers/1\""),
        ("calls.json", calls(200_000), 5, "the JSON holds more than 476679 values"),
        ("cells.json", cells(15_000), 0, "Non-trainable params: 0"),
        ("layers.json", layers(300_000), 5, "more than 20000 layers"),
    ]
}

/// A Sequential model of so many layers.
fn layers(count: usize) -> Vec<u8> {
    let layer = |at: usize| format!(r#"{{"class_name":"ReLU","config":{{"name":"{at}"}}}}"#);
    let layers: Vec<String> = (0..count).map(layer).collect();
    format!(r#"{{"class_name":"Sequential","config":{{"layers":[{}]}}}}"#, layers.join(",")).into_bytes()
}

/// A layer that is called so often, each time on what it gave before.
fn calls(count: usize) -> Vec<u8> {
    let node = |at: usize| match at {
        0 => r#"[["x",0,0]]"#.to_owned(),
        at => format!(r#"[["b",{},0]]"#, at - 1),
    };
    let nodes: Vec<String> = (0..count).map(node).collect();
    let layers = [
        r#"{"class_name":"InputLayer","name":"x","config":{"batch_shape":[null,4]},"inbound_nodes":[]}"#
            .to_owned(),
        format!(
            r#"{{"class_name":"Identity","name":"b","config":{{}},"inbound_nodes":[{}]}}"#,
            nodes.join(",")
        ),
    ];
    format!(
        r#"{{"class_name":"Functional","config":{{"layers":[{}],"input_layers":[["x",0,0]],"output_layers":[["b",0,0]]}}}}"#,
        layers.join(",")
    )
    .into_bytes()
}

/// So many cells, one behind the other, of a kind that no operator computes for all steps at once.
fn cells(count: usize) -> Vec<u8> {
    let cell = |at: usize| {
        format!(
            r#"{{"class_name":"SimpleRNNCell","config":{{"name":"{at}","units":1,"activation":"softmax"}}}}"#
        )
    };
    let cells: Vec<String> = (0..count).map(cell).collect();
    let cells = format!(r#"{{"class_name":"StackedRNNCells","config":{{"cells":[{}]}}}}"#, cells.join(","));
    let input = r#"{"class_name":"InputLayer","config":{"batch_shape":[null,5,4]}}"#;
    format!(
        r#"{{"class_name":"Sequential","config":{{"layers":[{input},{{"class_name":"RNN","config":{{"cell":{cells}}}}}]}}}}"#
    )
    .into_bytes()
}

/// So many groups, each in the one before; the first is called `layers`.
fn deep_groups(count: usize) -> Vec<u8> {
    let mut file = File::new();
    let mut group = file.object(&[group_info()]);
    for at in 0..count {
        let name = if at + 1 == count { "layers" } else { "g" };
        group = file.object(&[group_info(), link(name, &Target::Hard(group))]);
    }
    file.finish(group)
}

/// A group `layers` in which so many names are those of one group.
fn links(count: usize) -> Vec<u8> {
    let mut file = File::new();
    let group = file.object(&[group_info()]);
    let links = (0..count).map(|at| link(&at.to_string(), &Target::Hard(group)));
    let layers = file.chain(links);
    let root = file.object(&[group_info(), link("layers", &Target::Hard(layers))]);
    file.finish(root)
}

/// A group `layers` of so many soft links, each to the next.
fn soft_links(count: usize) -> Vec<u8> {
    let mut file = File::new();
    let links = (0..count).map(|at| link(&at.to_string(), &Target::Soft(format!("/layers/{}", at + 1))));
    let layers = file.chain(links);
    let root = file.object(&[group_info(), link("layers", &Target::Hard(layers))]);
    file.finish(root)
}

/// A list of layers in so many parts, an attribute for each.
fn attributes(count: usize) -> Vec<u8> {
    let mut file = File::new();
    let attributes = (0..count).map(|at| attribute(&format!("layer_names{at}"), "a"));
    let root = file.chain(attributes);
    file.finish(root)
}

/// An HDF5 file of headers of the first version, which have no checksums.
struct File(Vec<u8>);

enum Target {
    Hard(u64),
    Soft(String),
}

const UNDEFINED: [u8; 8] = [0xff; 8];
/// The length of the superblock of version 0.
const START: usize = 96;
/// The most bytes of messages in one part of a header.
const PART: usize = 1 << 15;

type Message = (u16, Vec<u8>);

impl File {
    fn new() -> File {
        File(vec![0; START])
    }

    /// A header with these messages; the answer is its address.
    fn object(&mut self, messages: &[Message]) -> u64 {
        let address = self.0.len() as u64;
        let body: Vec<u8> = messages.iter().flat_map(message).collect();
        let count = (messages.len() as u16).to_le_bytes();
        self.0.extend([1, 0, count[0], count[1], 1, 0, 0, 0]);
        self.0.extend((body.len() as u32).to_le_bytes());
        self.0.extend([0; 4]);
        self.0.extend(body);
        address
    }

    /// A group with many messages, in parts that each name the next.
    fn chain(&mut self, messages: impl Iterator<Item = Message>) -> u64 {
        let mut parts = vec![message(&group_info())];
        let mut count = 1u64;
        for given in messages {
            count += 1;
            let bytes = message(&given);
            match parts.last_mut() {
                Some(part) if part.len() + bytes.len() <= PART => part.extend(bytes),
                _ => parts.push(bytes),
            }
        }
        let mut next: Option<(u64, u64)> = None;
        let mut first = 0;
        let last = parts.len() - 1;
        for (at, mut part) in parts.into_iter().enumerate().rev() {
            if at < last {
                let (address, len) = next.unwrap();
                part.extend(message(&(0x10, [address.to_le_bytes(), len.to_le_bytes()].concat())));
                count += 1;
            }
            first = self.0.len() as u64;
            if at == 0 {
                let count = (count.min(0xffff) as u16).to_le_bytes();
                self.0.extend([1, 0, count[0], count[1], 1, 0, 0, 0]);
                self.0.extend((part.len() as u32).to_le_bytes());
                self.0.extend([0; 4]);
            }
            next = Some((self.0.len() as u64, part.len() as u64));
            self.0.extend(part);
        }
        first
    }

    /// The file whose root is at this address.
    fn finish(mut self, root: u64) -> Vec<u8> {
        let end = self.0.len() as u64;
        let mut start = b"\x89HDF\r\n\x1a\n".to_vec();
        start.extend([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0]);
        for address in [0u64.to_le_bytes(), UNDEFINED, end.to_le_bytes(), UNDEFINED] {
            start.extend(address);
        }
        start.extend(0u64.to_le_bytes());
        start.extend(root.to_le_bytes());
        start.resize(START, 0);
        self.0[..START].copy_from_slice(&start);
        self.0
    }
}

/// A message with its head, filled up to eight bytes.
fn message((kind, data): &Message) -> Vec<u8> {
    let len = data.len().next_multiple_of(8);
    let mut bytes = [kind.to_le_bytes(), (len as u16).to_le_bytes(), [0; 2], [0; 2]].concat();
    bytes.extend(data);
    bytes.resize(8 + len, 0);
    bytes
}

fn group_info() -> Message {
    (0x0a, vec![0, 0])
}

fn link(name: &str, target: &Target) -> Message {
    let (kind, target) = match target {
        Target::Hard(address) => (0, address.to_le_bytes().to_vec()),
        Target::Soft(path) => (1, [&(path.len() as u16).to_le_bytes()[..], path.as_bytes()].concat()),
    };
    (0x06, [&[1, 8, kind, name.len() as u8][..], name.as_bytes(), &target].concat())
}

/// An attribute of one text.
fn attribute(name: &str, text: &str) -> Message {
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let name = [name.as_bytes(), &[0]].concat();
    let datatype = [&[0x13, 1, 0, 0][..], &(text.len() as u32).to_le_bytes()].concat();
    let space = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &1u64.to_le_bytes()].concat();
    let sizes = [name.len(), datatype.len(), space.len()].map(|size| (size as u16).to_le_bytes()).concat();
    (
        0x0c,
        [&[1, 0][..], &sizes, &padded(&name), &padded(&datatype), &padded(&space), text.as_bytes()].concat(),
    )
}
