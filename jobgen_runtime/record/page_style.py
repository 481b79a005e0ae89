"""How every page of jobgen looks, light and dark, on paper and on a phone; and its frame."""

from jobgen_runtime.record.charts import escaped

# Nothing of a page may ask for anything: its pictures are in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page_html(title: str, body: str, language: str) -> str:
    """A whole page."""
    return HTML % ("zh-CN" if language == "zh" else "en", POLICY, escaped(title), STYLE, body)


HTML = """<!doctype html>
<html lang="%s"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title><style>%s</style></head>
<body><main>%s</main></body></html>
"""

# k0 to k7: quantities, classes or runs, the same one in the same colour all over a page.
STYLE = """
:root { --bg: #fff; --fg: #1b2230; --dim: #596275; --line: #dfe3ea; --card: #f5f7fa;
  --good: #16704a; --bad: #b42318; --shade: 37 99 235;
  --k0: #2563eb; --k1: #c2570c; --k2: #078060; --k3: #8b3fd9; --k4: #c9264b; --k5: #0b7490;
  --k6: #7d6608; --k7: #5a6478 }
@media (prefers-color-scheme: dark) { :root { --bg: #12161d; --fg: #e6e9ef; --dim: #a3acbc;
  --line: #303846; --card: #1b212b; --good: #4ade80; --bad: #ff8579; --shade: 96 146 255;
  --k0: #7aa2ff; --k1: #f5a05a; --k2: #4fd1a1; --k3: #c59bff; --k4: #ff8aa0; --k5: #5fd3e8;
  --k6: #dcc35c; --k7: #a9b3c5 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--bg); color: var(--fg);
  font: 15px/1.55 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans SC", sans-serif }
main { display: block; margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 72rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .2rem 0 .8rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-top: .5rem;
  border-top: 1px solid var(--line) }
figcaption { font-size: .95rem; font-weight: 600; margin-bottom: .3rem }
p { overflow-wrap: anywhere; margin: .4rem 0 }
.dim { color: var(--dim); font-size: .87rem }
.verdict { border-left: .35rem solid var(--bad); background: var(--card); padding: .7rem 1rem }
.verdict.good { border-color: var(--good) }
.status { font-weight: 700; color: var(--bad) }
.good .status { color: var(--good) }
.figures { display: grid; gap: .6rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)) }
.figures div { background: var(--card); padding: .5rem .8rem }
.figures b { display: block; font-size: 1.1rem}
.wide { overflow-x: auto; margin: .4rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top }
td { overflow-wrap: anywhere; min-width: 4rem }
td.n, th.n { text-align: right; white-space: nowrap; min-width: 0 }
td:first-child, th { overflow-wrap: normal }
th { color: var(--dim); font-weight: 600; white-space: nowrap }
td.cell { text-align: center; padding: .25rem .5rem }
pre { background: var(--card); padding: .6rem; overflow-x: auto; font-size: .8rem }
.charts { display: grid; gap: 1.4rem 1.6rem; margin: .6rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)) }
figure { margin: 0; min-width: 0 }
svg.chart { width: 100%; height: auto; display: block; overflow: visible }
.chart text { fill: var(--dim); font-size: 12px }
.chart line { stroke: var(--line) } .chart line.mark { stroke: var(--fg); stroke-dasharray: 3 3 }
.chart text.mark { fill: var(--fg) }
.chart path { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round }
.k0 { --c: var(--k0) } .k1 { --c: var(--k1) } .k2 { --c: var(--k2) } .k3 { --c: var(--k3) }
.k4 { --c: var(--k4) } .k5 { --c: var(--k5) } .k6 { --c: var(--k6) } .k7 { --c: var(--k7) }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .87rem; color: var(--dim) }
.key span::before { content: ""; display: inline-block; width: .75em; height: .75em;
  margin-right: .4em; background: var(--c) }
.bars { display: grid; grid-template-columns: minmax(4rem, max-content) 1fr max-content;
  gap: .15rem .7rem; align-items: center; font-size: .9rem; font-variant-numeric: tabular-nums }
.bars > span { overflow-wrap: anywhere; max-width: 14rem }
.bars i { display: block; height: .85em; margin: 1px 0; min-width: 1px;
  background: var(--c) }
.bars b { font-weight: 400; text-align: right; line-height: 1.05 }
.pictures { display: grid; gap: 1rem .8rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)) }
.pictures.small { grid-template-columns: repeat(auto-fill, minmax(min(13rem, 46%), 1fr)) }
.pictures img { width: 100%; height: auto; display: block }
@media print { main { max-width: none; padding: 0 } h2 { break-after: avoid }
  figure, tr, .verdict { break-inside: avoid } }
"""
