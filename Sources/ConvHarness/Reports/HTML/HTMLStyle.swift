/// The style sheet of a report: light, dark and print, phone and desktop.
enum HTMLStyle {
  private static func variables(
    colours: [String], page: String, card: String, text: String, muted: String, line: String, link: String,
    good: String, bad: String, warn: String
  ) -> String {
    let own = colours.enumerated().map { "--e\($0.offset):\($0.element)" }
    return
      (own + [
        "--page:\(page)", "--card:\(card)", "--text:\(text)", "--muted:\(muted)", "--line:\(line)",
        "--link:\(link)", "--good:\(good)", "--bad:\(bad)", "--warn:\(warn)",
      ]).joined(separator: ";")
  }

  static let light = variables(
    colours: EngineStyles.light, page: EngineStyles.pageLight, card: EngineStyles.cardLight, text: "#1b1f24",
    muted: "#596270", line: "#d5dae0", link: "#0b5cad", good: "#0b6b43", bad: "#b3261e", warn: "#8a5300")
  static let dark = variables(
    colours: EngineStyles.dark, page: EngineStyles.pageDark, card: EngineStyles.cardDark, text: "#e7eaee",
    muted: "#a2abb7", line: "#343b44", link: "#82b8ff", good: "#5fd49b", bad: "#ff8a80", warn: "#f0b95a")

  /// Rules of what is drawn, on a page and in a file of its own.
  static let chart = """
    svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;\
    fill:var(--text);font-variant-numeric:tabular-nums}
    svg .t-end{text-anchor:end}svg .t-middle{text-anchor:middle}
    svg .tick,svg .axis-title,svg .problem,svg .limit-label,svg .remark{fill:var(--muted)}
    svg .tick{font-size:10.5px}svg .label{font-size:11.5px;font-weight:600}
    svg .problem{font-size:9px;font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
    svg .strong{font-weight:700}svg .point-label{font-size:10.5px;fill:var(--c)}\
    svg .point-label,svg .problem,svg .limit-label{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
    svg .grid{stroke:var(--line);fill:none;stroke-width:1}
    svg .axis{stroke:var(--muted);fill:none;stroke-width:1}
    svg .reference{stroke:var(--text);fill:none;stroke-width:1.3}
    svg .limit{stroke:var(--text);fill:none;stroke-width:1.6;stroke-dasharray:6 3}
    svg .front{stroke:var(--muted);fill:none;stroke-width:1.4;stroke-dasharray:3 2}
    svg .whisker{stroke:var(--text);fill:none;stroke-width:1.2}
    svg .mark{fill:var(--c);stroke:var(--card);stroke-width:1}
    svg .behind{fill:var(--card);stroke:var(--c);stroke-width:1.6}
    svg .again{fill-opacity:.35;stroke:var(--c);stroke-width:1}.key.part .again{fill-opacity:.35;stroke:var(--c)}
    svg .small{stroke-width:.7}svg .cloud{fill-opacity:.8}
    svg .bar{fill:var(--c);fill-opacity:.78}svg .best{fill:var(--text);fill-opacity:.85}
    svg .open{fill:var(--card);stroke:var(--c);stroke-width:1.3}
    svg .beyond{fill:var(--card);stroke:var(--text);stroke-width:.8}svg .gap{fill:var(--card)}
    svg .curve{stroke:var(--c);fill:none;stroke-width:1.6}
    svg .dash1{stroke-dasharray:7 3}svg .dash2{stroke-dasharray:2 3}svg .dash3{stroke-dasharray:9 3 2 3}
    \(EngineStyles.light.indices.map { ".e\($0){--c:var(--e\($0))}" }.joined())
    """

  /// The style of a drawing that is a file of its own.
  static let chartAlone = """
    :root{color-scheme:light dark;\(light)}
    @media (prefers-color-scheme:dark){:root{\(dark)}}
    \(chart)
    .page{fill:var(--page)}.card{fill:var(--card);stroke:var(--line)}
    svg .title{font-size:15px;font-weight:600}svg .name{font-size:11.5px}
    """

  static let sheet = """
    :root{color-scheme:light dark;\(light)}
    @media (prefers-color-scheme:dark){:root{\(dark)}}
    @media print{:root{color-scheme:light;\(light)}}
    *{box-sizing:border-box}
    html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
    body{margin:0 auto;max-width:1240px;padding:20px 16px 48px;background:var(--page);color:var(--text);\
    font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;\
    font-variant-numeric:tabular-nums}
    h1{font-size:1.65rem;line-height:1.2;margin:0 0 2px}
    h2{font-size:1.25rem;margin:38px 0 8px;padding-top:14px;border-top:1px solid var(--line)}
    h3{font-size:1rem;margin:22px 0 6px}
    h4{font-size:.84rem;margin:0 0 4px;font-weight:600}
    p{margin:6px 0;max-width:78ch}
    a{color:var(--link)}
    .sub,.note,caption{color:var(--muted)}
    .note{font-size:.85rem}
    code,pre,.problem{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace}
    code{font-size:.86em}
    nav{margin:12px 0 4px;display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.9rem}
    .lead{font-size:1.1rem;margin-top:14px}
    .box{border:1px solid var(--line);border-left:4px solid var(--muted);border-radius:6px;padding:8px 12px;\
    margin:10px 0;background:var(--card)}
    .box.bad{border-left-color:var(--bad)}.box.warn{border-left-color:var(--warn)}\
    .box.good{border-left-color:var(--good)}
    .box p{margin:3px 0}
    .bad-text{color:var(--bad);font-weight:600}.good-text{color:var(--good)}.warn-text{color:var(--warn);font-weight:600}
    .command{display:block;overflow-wrap:anywhere;user-select:all;-webkit-user-select:all;cursor:copy;\
    background:var(--card);border:1px solid var(--line);border-radius:5px;padding:5px 8px;margin:4px 0 8px}
    .box .command{background:var(--page)}
    .facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:0 28px;margin:8px 0}
    .facts div{display:flex;gap:10px;padding:3px 0;border-bottom:1px solid var(--line);font-size:.88rem}
    .facts dt{color:var(--muted);flex:0 0 7.5em}.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
    .grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:14px;align-items:start}
    figure{margin:0;max-width:620px;border:1px solid var(--line);border-radius:8px;background:var(--card);padding:9px 10px 6px;\
    min-width:0;break-inside:avoid}
    figcaption{font-size:.84rem;font-weight:600;margin-bottom:4px}
    figcaption span{display:block;font-weight:400;font-size:.76rem;color:var(--muted);overflow-wrap:anywhere}
    svg.chart{display:block;width:100%;max-width:500px;height:auto;margin:0 auto}
    \(chart)
    .legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0 10px;padding:0;font-size:.88rem}
    .legend li{display:flex;align-items:center;gap:5px}.key{width:15px;height:15px}
    .key.part rect{fill:var(--c);fill-opacity:.78}
    .scroll{overflow-x:auto;margin:8px 0;border:1px solid var(--line);border-radius:8px}
    table{border-collapse:collapse;width:100%;font-size:.82rem}
    th,td{padding:4px 6px;text-align:left;vertical-align:baseline;white-space:nowrap}
    thead th{color:var(--muted);font-weight:600;border-bottom:1px solid var(--line);background:var(--card);\
    vertical-align:bottom}
    td{border-top:1px solid var(--line)}
    .n{text-align:right}
    .results thead th{white-space:normal}tr.layer th{background:var(--card);border-top:1px solid var(--line);padding-top:7px;white-space:normal}
    tr.layer code{font-weight:400;color:var(--muted);margin-left:.6em;overflow-wrap:anywhere}
    tr.layer .pass{font-weight:400;margin-left:.6em}
    tr.fastest td:first-child{font-weight:650}
    td.wrap{white-space:normal;min-width:16em}
    .engine{white-space:nowrap}.variant,.under{display:block;font-size:.88em;font-weight:400;color:var(--muted)}
    .variant{max-width:17em;padding-left:17px;white-space:normal;overflow-wrap:anywhere}
    .results td.wide{white-space:normal;min-width:9.6em}
    th[aria-sort]{cursor:pointer}th[aria-sort]:hover,th[aria-sort]:focus-visible{color:var(--text)}
    th[aria-sort=ascending]::after{content:" ▲"}th[aria-sort=descending]::after{content:" ▼"}
    td .command{max-width:5.5em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;margin:0;padding:1px 6px}
    td .command:hover,td .command:focus{max-width:22em;white-space:normal}
    .copied{outline:2px solid var(--good)}
    details{margin:12px 0}
    summary{cursor:pointer;font-weight:600;padding:6px 0}
    summary .note{font-weight:400;margin-left:.5em}
    details.suite{border:1px solid var(--line);border-radius:8px;padding:2px 14px}
    details.suite[open]{padding-bottom:14px}
    details.suite>summary{font-size:1.05rem}
    ul.plain{list-style:none;margin:6px 0;padding:0}ul.plain>li{margin:8px 0}
    .dot .mark{stroke:none}.dot{display:inline-block;width:13px;height:13px;vertical-align:-2px;margin-right:4px}
    footer{margin-top:40px;border-top:1px solid var(--line);padding-top:10px}
    @media (max-width:1400px){.results .word{display:none}}
    @media (max-width:600px){body{padding:14px 12px 32px}h1{font-size:1.35rem}.lead{font-size:1rem}\
    details.suite{padding:2px 9px}.facts dt{flex-basis:6.5em}th,td{padding:4px 6px}\
    .variant{font-size:.78em;min-width:9em;max-width:12em}\
    .fold thead{display:none}.fold,.fold tbody,.fold tr,.fold th{display:block}.fold tr{border-top:1px solid var(--line);padding:4px 0}\
    .fold td{display:flex;flex-wrap:wrap;gap:0 10px;border:0;padding:2px 8px;white-space:normal;text-align:left;min-width:0}\
    .fold td:empty{display:none}.fold td::before{content:attr(data-label);color:var(--muted);flex:0 0 9.5em}}
    @media print{body{max-width:none;padding:0;font-size:11px}nav{display:none}.scroll{overflow:visible;border:0}\
    td,th{white-space:normal;padding:2px 4px}table{font-size:8.5px}td .command{white-space:normal;max-width:none;border:0}\
    details::details-content{content-visibility:visible;height:auto}h2,h3{break-after:avoid}tr{break-inside:avoid}}
    """

  /// Sorts tables by a click on a column's head (up, down, as it was; layers stay together, in the order of their first rows),
  /// copies commands on a click and unfolds everything for paper; the page reads without it. The page is XML too: no less-than
  /// and no ampersand in here.
  static let script = """
    document.querySelectorAll('table').forEach(function(table){
    var body=table.tBodies[0],initial=Array.from(body.rows),heads=Array.from(table.tHead.rows[0].cells);
    function key(row,column){var place=0,found=null;Array.from(row.cells).forEach(function(cell){\
    if(place===column)found=cell;place+=cell.colSpan});\
    if(!found)return '';if(found.colSpan>1)return '';var text=found.dataset.v;\
    if(text===undefined)text=found.textContent.trim();var number=parseFloat(text);return isNaN(number)?text:number}
    function compare(a,b,sign){if(a===''||b==='')return (a===''?1:0)-(b===''?1:0);\
    return sign*(typeof a==='number'?typeof b==='number'?a-b:-1:typeof b==='number'?1:a.localeCompare(b))}
    function sort(column,sign){var groups=[];initial.forEach(function(row){\
    if(row.classList.contains('layer'))groups.push({head:row,rows:[]});else{\
    if(!groups.length)groups.push({head:null,rows:[]});groups[groups.length-1].rows.push(row)}});\
    if(sign){groups.forEach(function(group){group.rows.sort(function(a,b){\
    return compare(key(a,column),key(b,column),sign)})});\
    groups.sort(function(a,b){return a.rows.length*b.rows.length?\
    compare(key(a.rows[0],column),key(b.rows[0],column),sign):0})}\
    groups.forEach(function(group){if(group.head)body.appendChild(group.head);\
    group.rows.forEach(function(row){body.appendChild(row)})})}
    heads.forEach(function(head,column){if(!head.textContent.trim())return;head.tabIndex=0;head.title='sort';\
    head.setAttribute('aria-sort','none');function turn(){var next=({none:'ascending',ascending:'descending',descending:'none'})\
    [head.getAttribute('aria-sort')];heads.forEach(function(other){\
    if(other.hasAttribute('aria-sort'))other.setAttribute('aria-sort','none')});head.setAttribute('aria-sort',next);\
    sort(column,next==='none'?0:next==='ascending'?1:-1)}
    head.addEventListener('click',turn);head.addEventListener('keydown',function(e){\
    if(e.key==='Enter'||e.key===' '){e.preventDefault();turn()}})})});
    document.addEventListener('click',function(e){var c=e.target.closest('.command');\
    if(!c||!navigator.clipboard)return;navigator.clipboard.writeText(c.textContent).then(function(){\
    c.classList.add('copied');setTimeout(function(){c.classList.remove('copied')},700)})});
    addEventListener('beforeprint',function(){document.querySelectorAll('details').forEach(function(d){d.open=true})});
    """
}
