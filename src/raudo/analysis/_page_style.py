"""How the page looks, and the one script that it has."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#566173;
--line:#dfe3e9;--mark:#1f5bb8;--faint:#e4edfb;--bar:#3b7ddd;--warn:#8a5100;
--new:#d9f2e0;--new-ink:#0f5a2b;--gone:#fbe1e1;--gone-ink:#8f1d1d;
--c0:#3b7ddd;--c1:#e07b39;--c2:#2f9e6e;--c3:#c4487f;
--c4:#8a63d2;--c5:#b3922a;--c6:#2b9fb3;--c7:#7a8493}
@media(prefers-color-scheme:dark){:root{--ground:#12161d;--card:#1a202a;--ink:#e6eaf0;
--soft:#9aa6b7;--line:#2c3542;--mark:#8ab8ff;--faint:#22314a;--bar:#5b93e8;--warn:#e5b567;
--new:#163d28;--new-ink:#9be3b4;--gone:#4a2226;--gone-ink:#f5b0b0;
--c0:#6aa2f5;--c1:#f0965a;--c2:#4fc08d;--c3:#e572a4;
--c4:#ab8bf0;--c5:#d8b64a;--c6:#4fc4d8;--c7:#9aa6b7}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:24px;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:18px;margin:40px 0 4px}
p.lead,p.about{color:var(--soft);margin:0 0 16px;max-width:75ch;overflow-wrap:anywhere}
code{font-size:.92em}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 20px;font-size:14px}
a{color:var(--mark)}
.tiles{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:12px}
@media(max-width:820px){.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:14px 16px}
.tile b{display:block;font-size:26px;line-height:1.25;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px}
.card h3{margin:0 0 2px;font-size:14px}
.card>p{margin:0 0 8px;color:var(--soft);font-size:13px}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}
svg .bar{fill:var(--bar)}svg .bar:hover{fill:var(--mark)}
svg .axis{stroke:var(--line)}svg .value{fill:var(--ink)}
.map{display:grid;grid-template-columns:minmax(0,1fr) 290px;gap:16px;align-items:start}
@media(max-width:820px){.map{grid-template-columns:minmax(0,1fr)}}
.map svg{border-radius:6px;touch-action:pan-y}
.dot{fill-opacity:.62;stroke:none}
.dot.twin{stroke:var(--ink);stroke-width:1.2;fill-opacity:.9}
.dot:hover,.dot.at{fill-opacity:1;stroke:var(--ink);stroke-width:2}
.dot.away{display:none}
.k0{fill:var(--c0)}.k1{fill:var(--c1)}.k2{fill:var(--c2)}.k3{fill:var(--c3)}
.k4{fill:var(--c4)}.k5{fill:var(--c5)}.k6{fill:var(--c6)}.k7{fill:var(--c7)}
.legend{list-style:none;margin:0;padding:0;display:grid;gap:2px}
.legend label{display:grid;grid-template-columns:auto 14px minmax(0,1fr) auto;gap:8px;
align-items:center;padding:3px 4px;border-radius:6px;cursor:pointer;font-size:14px}
.legend label:hover{background:var(--faint)}
.legend span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.legend svg{width:12px;height:12px}
.legend output{color:var(--soft);font-size:13px;font-variant-numeric:tabular-nums}
.legend input{margin:0;accent-color:var(--mark)}
.tip{min-height:6.6em;margin-top:12px;padding-top:10px;border-top:1px solid var(--line);
font-size:13px;overflow-wrap:anywhere}
.tip b{display:block}.tip span{color:var(--soft)}
input[type=search]{width:100%;max-width:420px;font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:7px 12px;margin:0 0 12px}
:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0 0 8px}
summary{cursor:pointer;padding:10px 14px;display:flex;gap:12px;align-items:baseline;
list-style:none}
summary::-webkit-details-marker{display:none}
summary::before{content:"\\25b8";color:var(--soft)}
details[open]>summary::before{content:"\\25be"}
summary .size{min-width:3.2em;text-align:center;background:var(--faint);color:var(--mark);
border-radius:6px;font-weight:600;font-variant-numeric:tabular-nums}
summary .name{flex:1;min-width:0;overflow-wrap:anywhere}
summary .least{color:var(--soft);font-size:13px;white-space:nowrap}
table{width:100%;border-collapse:collapse;font-size:14px}
th,td{text-align:left;padding:7px 14px;border-top:1px solid var(--line);vertical-align:top}
thead th{border-top:0}
th{color:var(--soft);font-weight:500}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.name{overflow-wrap:anywhere}
td .text{color:var(--soft);font-size:13px;margin-top:2px;unicode-bidi:isolate}
ins,del{text-decoration:none;border-radius:3px;padding:0 2px}
ins{background:var(--new);color:var(--new-ink)}
del{background:var(--gone);color:var(--gone-ink);text-decoration:line-through}
bdi{unicode-bidi:isolate}
.note{color:var(--warn);margin:4px 0}
.scroll{overflow-x:auto}.scroll+.about{margin-top:12px}
.more>summary{color:var(--mark)}.more>div{padding:4px 10px 2px}
footer{color:var(--soft);margin-top:40px;font-size:13px}
@media(max-width:520px){main{padding:20px 12px 48px}th,td{padding:6px 8px}
.tiles{gap:8px}.tile{padding:10px 12px}
.tile b{font-size:21px}summary{flex-wrap:wrap;gap:6px 10px}}
@media print{nav,input[type=search]{display:none}}
"""

# It reads nothing but this page and writes it as text; the policy in the page's head lets this
# script run and no other.
SCRIPT = """
"use strict";
const map = document.querySelector("#map svg"), tip = document.querySelector(".tip");
if (map) {
  const idle = tip.textContent;
  let at = null;
  const show = dot => {
    if (at) at.classList.remove("at");
    at = dot;
    if (!dot) { tip.textContent = idle; return; }
    dot.classList.add("at");
    const name = document.createElement("b"), text = document.createElement("span");
    const isolated = document.createElement("bdi");
    isolated.textContent = dot.dataset.name;
    name.append(isolated);
    text.textContent = dot.dataset.text || "";
    tip.replaceChildren(name, text);
  };
  map.addEventListener("pointerover", event => {
    const dot = event.target.closest(".dot");
    if (dot) show(dot);
  });
  map.addEventListener("pointerleave", () => show(null));
  for (const box of document.querySelectorAll(".legend input"))
    box.addEventListener("change", () => {
      for (const dot of map.querySelectorAll(".k" + box.value))
        dot.classList.toggle("away", !box.checked);
    });
}
const search = document.querySelector("#find");
if (search) {
  const groups = [...document.querySelectorAll("#groups details")];
  const count = document.querySelector("#found");
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    let n = 0;
    for (const group of groups) {
      if (group.matches(".more")) { group.open = wanted !== ""; continue; }
      group.hidden = !group.textContent.toLowerCase().includes(wanted);
      n += !group.hidden;
    }
    count.textContent = wanted ? n + (n === 1 ? " group" : " groups") : "";
  });
}
"""
