"""How the page looks, and the one script that it has."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

_COLOURS = "".join(
    f".{scheme}{i}{{fill:var(--c{i})}}".replace(".", f"[data-by={name}] .", 1)
    for name, scheme in (("cluster", "c"), ("language", "l"), ("group", "g"))
    for i in range(8)
) + "".join(f".legend .k{i}{{fill:var(--c{i})}}" for i in range(8))

STYLE = (
    """
:root{color-scheme:light dark;--ground:#f5f6f8;--card:#fff;--ink:#18202c;--soft:#556070;
--line:#e1e5eb;--grid:#eef0f4;--mark:#1d57b5;--faint:#e6eefb;--bar:#4a86e0;--warn:#8a5100;
--new:#d9f2e0;--new-ink:#0f5a2b;--gone:#fbe1e1;--gone-ink:#8f1d1d;
--lift:0 1px 2px rgb(24 32 44/.05),0 4px 16px rgb(24 32 44/.04);
--c0:#3b7ddd;--c1:#e07b39;--c2:#2f9e6e;--c3:#c4487f;
--c4:#8a63d2;--c5:#b3922a;--c6:#2b9fb3;--c7:#98a2b1}
@media(prefers-color-scheme:dark){:root{--ground:#0f1319;--card:#171d26;--ink:#e8ecf2;
--soft:#9ba7b8;--line:#29323f;--grid:#212936;--mark:#8ab8ff;--faint:#22314a;--bar:#5b93e8;
--warn:#e5b567;--new:#163d28;--new-ink:#9be3b4;--gone:#4a2226;--gone-ink:#f5b0b0;--lift:none;
--c0:#6aa2f5;--c1:#f0965a;--c2:#4fc08d;--c3:#e572a4;
--c4:#ab8bf0;--c5:#d8b64a;--c6:#4fc4d8;--c7:#6d7888}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 72px}
.kind{margin:0 0 6px;color:var(--soft);font-size:13px;letter-spacing:.02em}
h1{font-size:30px;line-height:1.2;letter-spacing:-.02em;font-weight:680;margin:0 0 10px;
overflow-wrap:anywhere}
h2{font-size:20px;letter-spacing:-.01em;font-weight:650;margin:56px 0 4px}
h3{font-size:15px;font-weight:620;margin:0 0 2px}
p.lead{font-size:17px;margin:0 0 18px;max-width:72ch;color:var(--soft);overflow-wrap:anywhere}
p.lead strong{color:var(--ink);font-weight:650}
p.about{color:var(--soft);margin:0 0 16px;max-width:75ch;overflow-wrap:anywhere}
code{font-size:.9em}
nav{display:flex;flex-wrap:wrap;gap:6px 20px;margin:0 0 28px;font-size:14px}
a{color:var(--mark);text-underline-offset:3px;text-decoration-thickness:1px}
.card,.tiles{background:var(--card);border:1px solid var(--line);border-radius:14px;
box-shadow:var(--lift)}
.card{padding:18px 20px}
.tiles{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));overflow:hidden}
.tile{padding:20px 22px;border-left:1px solid var(--line)}.tile:first-child{border-left:0}
.tile b{display:block;font-size:34px;line-height:1.15;font-weight:660;letter-spacing:-.03em;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:14px}
#tile-duplicates b{color:var(--mark)}
.whole{margin-top:14px;padding:16px 20px 14px}
svg.shares{height:12px;border-radius:6px}
.whole ul{list-style:none;margin:10px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:4px 24px;
font-size:14px;color:var(--soft)}
.whole li{display:flex;align-items:center;gap:8px}.whole li svg{width:10px;height:10px}
.whole data{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.facts{display:flex;flex-wrap:wrap;gap:6px 32px;margin:14px 4px 0;font-size:14px}
.facts div{display:flex;gap:8px}.facts dt{color:var(--soft)}
.facts dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px}
.card>p{margin:0 0 12px;color:var(--soft);font-size:13.5px}
.card>p.spread{margin:10px 0 0;font-variant-numeric:tabular-nums}
.spread data{color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}
svg .bar{fill:var(--bar)}svg .bar:hover{fill:var(--mark)}
svg .axis{stroke:var(--line)}svg .grid{stroke:var(--grid)}svg text.value{fill:var(--ink)}
svg .median{stroke:var(--ink);stroke-opacity:.55;stroke-dasharray:3 3}
.map{display:grid;grid-template-columns:minmax(0,1fr) 280px;gap:24px;align-items:start}
.map svg{border-radius:8px;touch-action:pan-y}
.dot{fill-opacity:.66;stroke:none}
.dot.twin{stroke:var(--ink);stroke-width:1;fill-opacity:.9}
.dot:hover,.dot.at{fill-opacity:1;stroke:var(--ink);stroke-width:2.4}
.dot.away{display:none}
.choice{border:0;margin:0 0 12px;padding:0;display:flex;flex-wrap:wrap}
.choice legend{font-size:13px;color:var(--soft);padding:0;margin:0 0 6px}
.choice label{position:relative;cursor:pointer}
.choice input{position:absolute;inset:0;margin:0;opacity:0;cursor:pointer}
.choice span{display:block;padding:5px 12px;font-size:14px;border:1px solid var(--line);
margin-left:-1px}
.choice label:first-of-type span{border-radius:8px 0 0 8px;margin:0}
.choice label:last-of-type span{border-radius:0 8px 8px 0}
.choice input:checked+span{background:var(--faint);color:var(--mark);font-weight:600}
.choice input:focus-visible+span{outline:2px solid var(--mark);outline-offset:2px}
.legend{list-style:none;margin:0;padding:0;display:grid;gap:1px}.legend[hidden]{display:none}
.legend label{display:grid;grid-template-columns:auto 12px minmax(0,1fr) auto;gap:9px;
align-items:center;padding:4px 6px;margin:0 -6px;border-radius:6px;cursor:pointer;font-size:14px}
.legend label:hover{background:var(--faint)}
.legend span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.legend svg{width:12px;height:12px}
.legend output{color:var(--soft);font-size:13px;font-variant-numeric:tabular-nums}
.legend input{margin:0;accent-color:var(--mark)}
.tip{min-height:8.5em;margin-top:14px;padding-top:12px;border-top:1px solid var(--line);
font-size:13.5px;overflow-wrap:anywhere}
.tip b{display:block}.tip span{color:var(--soft)}.tip i{display:block;font-style:normal}
label[for=find]{display:block;font-size:14px;color:var(--soft);margin:0 0 6px}
input[type=search]{width:100%;max-width:420px;font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:10px;padding:8px 14px;margin:0 0 14px}
:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0 0 8px}
summary{cursor:pointer;padding:10px 16px;display:flex;gap:12px;align-items:baseline;
list-style:none}
summary::-webkit-details-marker{display:none}
summary::before{content:"\\25b8";color:var(--soft)}
details[open]>summary::before{content:"\\25be"}
summary .size{min-width:2.8em;text-align:center;background:var(--faint);color:var(--mark);
border-radius:6px;font-weight:600;font-variant-numeric:tabular-nums}
summary .name{flex:1;min-width:0;overflow-wrap:anywhere}
summary .peek{display:block;color:var(--soft);font-size:13.5px;overflow:hidden;
text-overflow:ellipsis;white-space:nowrap}
details[open]>summary .peek{display:none}
summary .least{color:var(--soft);font-size:13.5px;white-space:nowrap;
font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;font-size:14px}
th,td{text-align:left;padding:8px 16px;border-top:1px solid var(--line);vertical-align:top}
thead th{border-top:0;white-space:nowrap}
th{color:var(--soft);font-weight:500}tbody th{color:var(--ink)}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.name{overflow-wrap:anywhere}
td .text{color:var(--soft);font-size:13.5px;margin-top:2px;unicode-bidi:isolate}
ins,del{text-decoration:none;border-radius:3px;padding:0 2px}
ins{background:var(--new);color:var(--new-ink)}
del{background:var(--gone);color:var(--gone-ink);text-decoration:line-through}
bdi{unicode-bidi:isolate}
.note{color:var(--warn);margin:12px 4px 0;font-size:14px;overflow-wrap:anywhere}
.scroll{overflow-x:auto;padding:8px 4px}.scroll th,.scroll td{padding:8px 11px}
.plots+.about{margin-top:14px}
.plots>.scroll{grid-column:span 2}
.more>summary{color:var(--mark)}.more>div{padding:4px 10px 2px}
footer{color:var(--soft);margin-top:48px;font-size:13px}
@media(max-width:860px){.map{grid-template-columns:minmax(0,1fr)}.dot{r:5px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tile:nth-child(odd){border-left:0}
.tile:nth-child(n+3){border-top:1px solid var(--line)}.plots>.scroll{grid-column:auto}}
@media(max-width:520px){main{padding:24px 14px 48px}th,td{padding:7px 10px}
h1{font-size:24px}h2{margin-top:44px}p.lead{font-size:16px}
.tile{padding:14px 16px}.tile b{font-size:26px}.card{padding:14px}
.facts{flex-direction:column;gap:4px}.facts div{justify-content:space-between}
.scroll{padding:4px 0}summary{padding:10px 12px;gap:10px}}
@media print{nav,input[type=search],label[for=find]{display:none}body{background:#fff}}
"""
    + _COLOURS
    + "\n"
)

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
    const facts = document.createElement("i"), isolated = document.createElement("bdi");
    isolated.textContent = dot.dataset.name;
    name.append(isolated);
    facts.textContent = dot.dataset.facts;
    text.textContent = dot.dataset.text || "";
    tip.replaceChildren(name, facts, text);
  };
  map.addEventListener("pointerover", event => {
    const dot = event.target.closest(".dot");
    if (dot) show(dot);
  });
  map.addEventListener("pointerleave", () => show(null));
  const card = document.querySelector("#map");
  const legends = [...document.querySelectorAll(".legend")];
  const hideUnchecked = () => {
    const legend = legends.find(each => !each.hidden);
    const away = new Set([...legend.querySelectorAll("input:not(:checked)")].map(b => b.value));
    for (const dot of map.querySelectorAll(".dot"))
      dot.classList.toggle("away", [...dot.classList].some(name => away.has(name)));
  };
  for (const choice of document.querySelectorAll(".choice input"))
    choice.addEventListener("change", () => {
      card.dataset.by = choice.value;
      for (const legend of legends) legend.hidden = legend.dataset.for !== choice.value;
      hideUnchecked();
    });
  for (const box of document.querySelectorAll(".legend input"))
    box.addEventListener("change", hideUnchecked);
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
