// The look of the status page: light and dark, from a phone to a wall. Colours never say anything alone: a word or a number
// stands beside each. The page's policy permits this text by its hash, so style attributes have no effect.

export const STATUS_STYLE = `
:root{color-scheme:light dark;--bg:#f3f5f8;--card:#fff;--ink:#131c26;--soft:#546170;--line:#dfe4ea;--ok:#0b7a4a;--warn:#8f5600;--bad:#bb271c;--off:#66717e;--accent:#2457c5;--land:#c4ccd6;
--h0:#e9f6f1;--h1:#cdebe3;--h2:#a4d9d4;--h3:#72bfc6;--h4:#2f6f93;--h5:#234f80;--h6:#2a2c64;--dark:#131c26;--light:#fff}
@media(prefers-color-scheme:dark){:root{--bg:#0b1016;--card:#131a23;--ink:#e7edf4;--soft:#9dabba;--line:#243040;--ok:#41d195;--warn:#f2b552;--bad:#ff8177;--off:#93a0ae;--accent:#86aeff;--land:#344354;
--h0:#14262b;--h1:#163239;--h2:#19444f;--h3:#1c5a69;--h4:#5fb4b9;--h5:#a5d9c4;--h6:#f2eda4;--dark:#e7edf4;--light:#0b1016}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
main,header,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:center;padding-top:1rem}
h1{font-size:1rem;margin:0;font-weight:600;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0 0 .6rem}
h3{font-size:.85rem;margin:0;font-weight:500;color:var(--soft)}
p,ul,ol{margin:0;padding:0}ul,ol{list-style:none}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
/* For screen readers alone. */
.away{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.5rem 1rem;z-index:1}
.brand{font-weight:700;letter-spacing:.01em}.brand b{color:var(--accent)}
.meta,.note{color:var(--soft);font-size:.85rem}
.meta{margin-left:auto;display:flex;gap:.75rem;align-items:center;flex-wrap:wrap}
button{font:inherit;font-size:.85rem;color:var(--ink);background:var(--card);border:1px solid var(--off);border-radius:6px;padding:.15rem .7rem;cursor:pointer}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.1rem;margin-top:1rem;min-width:0}
.state{--c:var(--ok);padding:1.4rem 0 .6rem}.state.warn{--c:var(--warn)}.state.bad{--c:var(--bad)}
.word{font-size:clamp(2.6rem,9vw,5rem);line-height:1.05;font-weight:750;letter-spacing:-.03em;color:var(--c);display:flex;align-items:center;gap:.28em;flex-wrap:wrap}
.word small{font-size:.4em;letter-spacing:0;font-weight:600}
.glyph{margin-left:.14em;width:.5em;height:.5em;border-radius:50%;background:var(--c);box-shadow:0 0 0 .14em color-mix(in srgb,var(--c) 22%,transparent)}
.warn .glyph{border-radius:12%;transform:rotate(45deg)}.bad .glyph{border-radius:12%}
.about{font-size:1.05rem;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin-top:1rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:.8rem .95rem;display:flex;flex-direction:column;min-width:0}
.tile .note{margin-top:auto;padding-top:.35rem;overflow-wrap:anywhere}
.value{font-size:1.9rem;font-weight:650;line-height:1.25;letter-spacing:-.02em}.value small{font-size:.85rem;font-weight:500;letter-spacing:0;color:var(--soft)}
.curve{width:100%;height:2rem;margin-top:.3rem}.curve .line{fill:none;stroke:var(--accent);stroke-width:1.6;vector-effect:non-scaling-stroke}.curve .area{fill:var(--accent);opacity:.13}
.bar{width:100%;height:.4rem;margin-top:.55rem;border-radius:3px;fill:var(--ok)}.bar.warn{fill:var(--warn)}.bar.bad{fill:var(--bad)}.bar.off{fill:var(--off)}.bar .track{fill:var(--line)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));column-gap:1rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.4rem .8rem .4rem 0;white-space:nowrap}
.list thead th{color:var(--soft);font-weight:500;font-size:.8rem;border-bottom:1px solid var(--line)}
.list tbody tr+tr>*{border-top:1px solid var(--line)}
.list th{font-weight:600}.name{font-weight:400;color:var(--soft);margin-left:.35rem}
.dot{white-space:nowrap}.dot::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.45em;background:var(--ok)}
.dot.warn::before{background:var(--warn);border-radius:1px;transform:rotate(45deg)}.dot.bad::before{background:var(--bad);border-radius:1px}.dot.off::before{background:none;border:2px solid var(--off)}
.heat{border-spacing:3px;border-collapse:separate;width:auto;min-width:60%}
.heat caption{text-align:left;color:var(--soft);font-size:.85rem;padding-bottom:.4rem}
.heat td,.heat th{padding:.3rem .5rem;text-align:center;border-radius:5px;font-size:.85rem}
.heat th{font-weight:600;text-align:right}.heat thead th{text-align:center}.heat thead td{color:var(--soft);font-size:.75rem;padding:0}
.heat tbody td{min-width:3.2rem}.heat small{display:block;font-size:.7rem}
.h0{background:var(--h0)}.h1{background:var(--h1)}.h2{background:var(--h2)}.h3{background:var(--h3)}.h4{background:var(--h4)}.h5{background:var(--h5)}.h6{background:var(--h6)}
.h0,.h1,.h2,.h3{color:var(--dark)}.h4,.h5,.h6{color:var(--light)}
.cut{color:var(--bad);box-shadow:inset 0 0 0 2px var(--bad);font-weight:600}.none{color:var(--soft)}.self{background:repeating-linear-gradient(45deg,var(--line) 0 2px,transparent 2px 6px)}
.legend{display:flex;flex-wrap:wrap;gap:3px;margin-top:.6rem;font-size:.75rem}.legend li{padding:.05rem .5rem;border-radius:4px}
.world{width:100%;display:block}
.land{fill:none;stroke:var(--land);stroke-width:.62;stroke-linecap:round;stroke-dasharray:0 1}
.world text{font-size:3.6px;font-weight:650;fill:var(--ink);paint-order:stroke;stroke:var(--card);stroke-width:1.1px;stroke-linejoin:round}
.world .trip{font-size:2.9px;font-weight:500;fill:var(--soft)}
.arc{fill:none;stroke:var(--accent);stroke-width:.45;opacity:.75}
.world .ok{fill:var(--ok)}.world .warn{fill:var(--warn)}.world .bad{fill:var(--bad)}.world .off{fill:var(--off)}.halo{opacity:.2}
.regions{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:.25rem 1rem;margin-top:.6rem;font-size:.9rem}
.events{font-size:.9rem}.events li{padding:.3rem 0 .3rem .75rem;border-left:3px solid var(--line);margin-bottom:.25rem;overflow-wrap:anywhere}.events .warn{border-color:var(--warn)}.events .error{border-color:var(--bad)}
.events time{color:var(--soft)}
pre{margin:.5rem 0;padding:.8rem;border:1px solid var(--line);border-radius:8px;background:var(--bg);overflow:auto;max-height:20rem;font-size:.85rem;line-height:1.45}
.row{display:flex;gap:.75rem;align-items:center;flex-wrap:wrap}
footer{padding:1.5rem 1rem 2.5rem;color:var(--soft);font-size:.85rem}footer a{margin-right:.9rem}
@media(max-width:30rem){.tiles{grid-template-columns:1fr 1fr}.value{font-size:1.5rem}.tile{padding:.65rem .7rem}}
@media print{.meta button{display:none}}
`
