// Legends hide and show a group in all charts; a pointer over a chart reads its values.
for (const button of document.querySelectorAll('.legend button')) {
  button.addEventListener('click', () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    for (const each of document.querySelectorAll('.legend button'))
      if (each.dataset.group === button.dataset.group) each.setAttribute('aria-pressed', on);
    for (const line of document.querySelectorAll('svg.chart g[data-group]'))
      if (line.dataset.group === button.dataset.group) line.style.display = on ? '' : 'none';
  });
}
const short = (value) => Number(value.toPrecision(4)).toString();
for (const figure of document.querySelectorAll('figure.curves')) {
  const svg = figure.querySelector('svg'), cursor = svg.querySelector('.cursor');
  const { left, right, low, high, width } = svg.dataset;
  const lines = [...svg.querySelectorAll('g[data-group]')].map((g) => ({
    g, name: g.dataset.name, points: JSON.parse(g.dataset.points),
  }));
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  figure.append(tip);
  const hide = () => { tip.hidden = true; cursor.style.visibility = 'hidden'; };
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * width;
    const x = +low + ((place - left) / (right - left)) * (high - low);
    const seen = lines.filter((line) => line.g.style.display !== 'none');
    if (!seen.length || place < left - 8 || place > +right + 8) return hide();
    const near = seen.map((line) => ({
      line, point: line.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)),
    }));
    const at = near.reduce((a, b) => (Math.abs(b.point[0] - x) < Math.abs(a.point[0] - x) ? b : a)).point[0];
    const row = (text, style) => {
      const div = document.createElement('div');
      if (style) {
        const dot = document.createElement('span');
        dot.className = 'dot ' + style;
        div.append(dot);
      }
      div.append(text);
      return div;
    };
    tip.replaceChildren(row(svg.dataset.unit + ' ' + short(at)),
      ...near.map(({ line, point }) => row(line.name + ' ' + short(point[1]), line.g.getAttribute('class'))));
    const middle = +left + ((at - low) / (high - low)) * (right - left);
    cursor.setAttribute('x1', middle);
    cursor.setAttribute('x2', middle);
    cursor.style.visibility = 'visible';
    tip.hidden = false;
    const space = figure.clientWidth - tip.offsetWidth - 8;
    const wanted = (middle / width) * box.width + (middle > width / 2 ? -tip.offsetWidth - 2 : 28);
    tip.style.left = Math.max(4, Math.min(space, wanted)) + 'px';
  });
}
