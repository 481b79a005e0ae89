"""The frame of a local page: the look of all pages, and what only these have."""

from __future__ import annotations

import base64
import hashlib

from jobgen_runtime.record.charts import escaped
from jobgen_runtime.record.page_style import HTML, POLICY, STYLE

LOCAL_STYLE = """
.sorted td { min-width: 6rem }
th button { all: unset; cursor: pointer } th button:focus-visible { outline: 2px solid var(--k0) }
.chart circle.faint { fill-opacity: .35 }
.drawn { position: relative; background: #20242c; border-radius: .2rem; overflow: hidden }
.drawn img, .drawn svg { display: block; width: 100%; height: auto }
.drawn svg { position: absolute; inset: 0; height: 100% }
.drawn rect { fill: none; stroke: var(--c); stroke-width: 2; pointer-events: all }
.drawn rect.off { stroke: #ff3b30; stroke-dasharray: 4 3 }
.drawn rect.truth { stroke: #fff; stroke-dasharray: 4 3 }
.choice { display: flex; flex-wrap: wrap; gap: .4rem 1rem; margin: .5rem 0 }
select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: .3rem; padding: .2rem .4rem; max-width: 100% }
[hidden] { display: none }
.figures div, pre { border-radius: .3rem } .pictures img { border-radius: .2rem }
.verdict { border-radius: 0 .3rem .3rem 0 }
.bars i, .key span::before { border-radius: .15em }
details { margin: .3rem 0 } summary { cursor: pointer }
.finding { border-left: .25rem solid var(--k5); padding: .2rem .8rem; margin: .6rem 0 }
.finding.error { border-color: var(--bad) } .finding.warning { border-color: var(--k1) }
li { overflow-wrap: anywhere }
h3 { font-size: .95rem; font-weight: 600; margin: .8rem 0 .3rem }
.next { margin: .8rem 0; padding: .6rem 1rem; border: 1px solid var(--line); border-radius: .3rem }
.next h2 { border: 0; margin: 0; padding: 0; font-size: 1rem }
.next ul { padding-left: 1.1rem; margin-bottom: 0 }
code { font-family: ui-monospace, Consolas, Menlo, monospace; font-size: .9em;
  background: var(--card); padding: .1em .3em; border-radius: .2rem }
a { color: var(--k0) }
.chart rect, .chart circle { fill: var(--c) }
@media print { .choice { display: none } .next { break-inside: avoid } }
"""


def local_page(title: str, body: str, language: str, script: str = "") -> str:
    """A whole page; of scripts only just this one may run in it."""
    policy, code = POLICY, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        code = f"<script>{script}</script>\n"
    code_of = {"zh": "zh-CN"}.get(language, "en")
    return HTML % (code_of, policy, escaped(title), STYLE + LOCAL_STYLE, body + code)
