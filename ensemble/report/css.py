"""Style sheet of the page: readable from 400 to 1200 pixels, in print, and in grey."""

STYLE = """
:root{--ink:#1c2430;--faint:#5b6472;--line:#d9dde2;--soft:#f5f6f8;--accent:#0a4f86;--good:#00694c;--bad:#a33b00;
--type:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;color:var(--ink);background:#fff;font:16px/1.55 var(--type)}
main,header,footer,nav ul{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:34px}
h1{font-size:clamp(1.5rem,1.1rem + 1.6vw,2.2rem);line-height:1.2;margin:0 0 .25em;text-wrap:balance}
.subtitle{color:var(--faint);margin:0}
.headline{font-size:clamp(1.1rem,1rem + .55vw,1.35rem);line-height:1.45;max-width:62em;margin:1.1em 0 .6em;text-wrap:pretty}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(250px,100%),1fr));gap:14px;margin:1.2em 0 .4em;padding:0;list-style:none}
.answers li{border:1px solid var(--line);border-top:4px solid var(--accent);border-radius:4px;padding:12px 16px 14px}
.answers li:only-child{max-width:420px}
.answers .label{font-weight:600;line-height:1.3}
.answers .value{font-size:1.9rem;font-weight:700;line-height:1.3;font-variant-numeric:tabular-nums}
.answers .value+.detail{color:var(--ink)}
.answers .detail{display:block;color:var(--faint);font-size:.92rem}
nav{border-top:1px solid var(--line);border-bottom:1px solid var(--line);margin-top:22px;background:var(--soft)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:2px 22px;padding-top:9px;padding-bottom:9px;font-size:.92rem}
a{color:var(--accent)}
nav a{text-decoration:none}
nav a:hover,nav a:focus-visible{text-decoration:underline}
section{padding-top:26px;scroll-margin-top:8px}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .3em}
.lead{max-width:62em;margin:0 0 .9em;text-wrap:pretty}
.remarks{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(310px,100%),1fr));gap:10px;margin:0 0 14px}
.remark{border-left:5px solid var(--line);background:var(--soft);padding:8px 14px;margin:0;max-width:70em}
.remark.bad{border-color:var(--bad);background:#fdf3ec}
.remark.good{border-color:var(--good);background:#eff7f3}
.remark b{margin-right:.35em}
.remark.bad b{color:var(--bad)}
.remark.good b{color:var(--good)}
figure{margin:14px 0 20px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:14px 22px;align-items:start}
.panels.one,.panels.two{grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),480px))}
.panels.wide{grid-template-columns:1fr}
.panels svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:3px 20px;margin:0 0 10px;padding:0;list-style:none;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:7px}
.swatch{width:24px;height:14px;flex:none}
figcaption{color:var(--faint);font-size:.9rem;line-height:1.45;margin-top:8px;max-width:78em}
.table{margin:14px 0 20px;overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;min-width:min(100%,420px)}
caption{caption-side:bottom;text-align:left;color:var(--faint);font-size:.9rem;line-height:1.45;padding-top:8px;max-width:78em}
th,td{padding:5px 14px 5px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--faint);font-weight:600;line-height:1.25;vertical-align:bottom}
tbody th{font-weight:500}
.stack tbody th{min-width:13em}
td.n,th.n{text-align:right}
td.n{white-space:nowrap}
td.long,tbody th.long{overflow-wrap:anywhere}
details{margin:10px 0 16px}
summary{cursor:pointer;color:var(--accent);font-size:.95rem;padding:3px 0}
.notes{color:var(--faint);font-size:.92rem;max-width:70em;padding-left:1.2em;margin:8px 0}
.notes li{margin:.2em 0}
pre{background:var(--soft);border:1px solid var(--line);border-radius:4px;padding:10px 14px;overflow-x:auto;font-size:.88rem;line-height:1.5}
footer{color:var(--faint);font-size:.88rem;padding-top:26px;padding-bottom:36px}
@media (max-width:640px){
body{font-size:15px}
main,header,footer,nav ul{padding-left:14px;padding-right:14px}
header{padding-top:20px}
.stack,.stack tbody,.stack tr,.stack td,.stack tbody th{display:block}
.stack{min-width:0;width:100%}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack caption{display:block}
.stack tr{border-bottom:1px solid var(--line);padding:7px 0}
.stack tbody th{min-width:0;border:0;padding:0;font-weight:700;text-align:left;white-space:normal}
.stack td,.stack td.n{border:0;padding:1px 0;display:flex;justify-content:space-between;gap:18px;text-align:right;white-space:normal}
.stack td::before{content:attr(data-label);color:var(--faint);text-align:left;flex:none;max-width:62%}
.stack td.long{text-align:right}
}
@media print{
body{font-size:10.5pt}
nav{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
main,header,footer{max-width:none;padding-left:0;padding-right:0}
figure,.remark,tr,.answers li{break-inside:avoid}
h2,.lead{break-after:avoid}
.panels,.panels.one,.panels.two{grid-template-columns:repeat(2,1fr)}
.answers{grid-template-columns:repeat(3,1fr)}
table{font-size:8pt}
.stack tbody th{min-width:8em}
th,td{padding:2pt 7pt 2pt 0}
.table{overflow:visible}
details::details-content{content-visibility:visible;height:auto}
a{color:inherit;text-decoration:none}
}
"""
