//! The colours and shapes of a page.

/// Light, dark and paper.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--muted:#566272;--line:#8894a3;--box:#fff;--edge:#a9b4c1;--rule:#dfe5eb;\
--group:#f3f6f9;--accent:#0b63bd;--back:#fbfcfd;--heat:#e8710a;--bar:#3b82c4;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf0;--muted:#9eabb9;--line:#7b8896;--box:#1f2730;--edge:#4a5766;\
--rule:#2c3641;--group:#192028;--accent:#7ab8f7;--back:#12171d;--heat:#c2600f;--bar:#4f97dc;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(1rem,3vw,2.5rem) 4rem;max-width:82rem;background:var(--back);color:var(--ink);\
font:15px/1.5 system-ui,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
a{color:var(--accent)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:1rem 0 0;padding:0;list-style:none}
dl,dd,figure{margin:0}
.provenance div{display:flex;flex-wrap:wrap;gap:0 .6rem}
.provenance dt,figcaption,.note{color:var(--muted)}
.provenance dd{overflow-wrap:anywhere}
.totals{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:.75rem}
.totals div{border:1px solid var(--rule);border-radius:.5rem;padding:.6rem .9rem;background:var(--box)}
.totals dt{color:var(--muted);font-size:.85rem}
.totals dd{font-size:1.25rem;font-variant-numeric:tabular-nums}
figcaption,.note{font-size:.9rem;margin:0 0 .6rem;max-width:60rem}
.scroll{overflow:auto;border:1px solid var(--rule);border-radius:.5rem}
.drawing{max-height:80vh;background:var(--back);resize:vertical}
.drawing svg{display:block;margin:0 auto}
.tall{max-height:80vh}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.875rem}
th,td{padding:.3rem .7rem;text-align:left;vertical-align:middle;border-bottom:1px solid var(--rule)}
thead th{position:sticky;top:0;background:var(--group);white-space:nowrap;z-index:1}
tbody th{font-weight:500;overflow-wrap:anywhere;min-width:11rem;max-width:26rem}
tbody tr:target{background:color-mix(in srgb,var(--accent) 18%,transparent)}
tbody tr{scroll-margin-top:3rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.s{white-space:nowrap}
.inner th,.inner td{color:var(--muted)}
.bad{color:var(--bad);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:0 2.5rem}
.bars{list-style:none;margin:0;padding:0;font-size:.85rem}
.bars li{display:grid;grid-template-columns:minmax(0,11rem) minmax(3rem,1fr) 9.5rem;gap:.6rem;align-items:center;padding:.1rem 0}
.bars .what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bars i,.track{display:block;height:.8rem;background:var(--group);border-radius:.2rem;overflow:hidden}
.bars b,.share b{display:block;height:100%;background:var(--bar);border-radius:.2rem;min-width:1px}
.share{min-width:7rem}
.share i{display:block;height:.35rem;background:var(--group);border-radius:.2rem;overflow:hidden}
.bars b,.share b,.bars i,.share i,.dots,.dots b,.dots u,.box,.heat{print-color-adjust:exact;-webkit-print-color-adjust:exact}
summary{cursor:pointer;color:var(--accent);padding:.3rem 0}
.histogram{display:block;fill:var(--bar)}
.histogram .base{fill:var(--rule)}
.wide{width:45%;min-width:16rem}
.wide,thead .wide{padding-left:1.6rem;padding-right:1.6rem}
.axis{display:flex;white-space:nowrap;justify-content:space-between;font-weight:400;color:var(--muted);font-variant-numeric:tabular-nums}
.axis span{width:0;display:flex;justify-content:center}
.dots{display:block;position:relative;height:1.1rem}
.dots s{position:absolute;top:-.35rem;bottom:-.35rem;width:1px;background:var(--rule)}
.dots b{position:absolute;top:.25rem;width:.6rem;height:.6rem;margin-left:-.3rem;border-radius:50%;background:var(--bar)}
.dots b.past{background:var(--bad);border-radius:0;transform:rotate(45deg)}
.dots u{position:absolute;top:0;bottom:0;width:2px;margin-left:-1px;background:#e8710a}
@media print{
body{max-width:none;padding:0;font-size:10pt}
nav,summary{display:none}
.scroll,.drawing,.tall{overflow:visible;max-height:none;border:0}
.drawing svg{max-width:100%;height:auto}
thead th{position:static}
tr,li,.totals div{break-inside:avoid}
table{font-size:7pt}
th,td,thead .wide,.wide{padding:.15rem .35rem}
.wide{padding-left:1rem;padding-right:1rem}
tbody th,.share,.wide{min-width:0}
.s,thead th{white-space:normal}
.histogram{width:90px;height:21px}
h2,h3{break-after:avoid}
}
";
