// Zoom, hover and highlight. Without it the page is the same picture, standing still.
(() => {
  const scroll = document.querySelector('.scroll');
  const rows = document.querySelector('.rows');
  const ruler = document.getElementById('ruler');
  const grid = document.getElementById('grid');
  const tip = document.getElementById('tip');
  const labelPx = document.querySelector('.label').offsetWidth;
  // Beside the run, for words at its end.
  const roomPx = parseFloat(getComputedStyle(document.body).getPropertyValue('--room'));
  // Stretches of time that are drawn to one scale: [from ms, from part, to ms, to part].
  const stretches = rows.dataset.axis.split(';').filter(Boolean).map((knots) => knots.split(',').map(Number));
  const drawnMs = stretches.reduce((sum, [from, , to]) => sum + to - from, 0);
  let zoom = 1;

  const trackPx = () => rows.offsetWidth - labelPx - roomPx;

  // Labels for the part that is in sight, as many as there is room for.
  function measure() {
    const track = trackPx();
    const [left, right] = [scroll.scrollLeft / track, (scroll.scrollLeft + scroll.clientWidth - labelPx) / track];
    const scale = stretches.length ? (stretches[0][3] - stretches[0][1]) / (stretches[0][2] - stretches[0][0]) : 1;
    let step = 1;
    for (let at = 0; step * scale * track < 70; at += 1) step = [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3);
    ruler.textContent = grid.textContent = '';
    for (const [number, [fromMs, from, toMs, to]] of stretches.entries()) {
      const ms = (part) => fromMs + (part - from) / (to - from) * (toMs - fromMs);
      const first = Math.max(Math.ceil(fromMs / step), Math.floor(ms(left) / step)) * step;
      // No label runs into a fold.
      const lastMs = number < stretches.length - 1 ? ms(to - 36 / track) : toMs;
      for (let at = first; at < Math.min(lastMs, ms(right)); at += step) {
        const place = `${(from + (at - fromMs) / (toMs - fromMs) * (to - from)) * 100}%`;
        const label = document.createElement('i');
        label.textContent = at.toLocaleString('en');
        const line = document.createElement('i');
        label.style.left = line.style.left = place;
        ruler.append(label);
        grid.append(line);
      }
    }
  }

  // Zooms, keeping in place what is so many pixels from the left of the track.
  function zoomTo(to, at) {
    const part = (scroll.scrollLeft + at) / trackPx();
    const most = Math.max(8, drawnMs * 600 / scroll.clientWidth);
    zoom = Math.min(Math.max(to, 1), most);
    rows.style.setProperty('--zoom', zoom);
    scroll.scrollLeft = part * trackPx() - at;
    measure();
  }

  const middle = () => (scroll.clientWidth - labelPx) / 2;
  for (const button of document.querySelectorAll('[data-zoom]')) {
    button.onclick = () => zoomTo(zoom * Number(button.dataset.zoom), middle());
  }
  scroll.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = event.clientX - scroll.getBoundingClientRect().left - labelPx;
    zoomTo(zoom * Math.exp(-event.deltaY / 300), Math.max(at, 0));
  }, { passive: false });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '+' || event.key === '=') zoomTo(zoom * 2, middle());
    if (event.key === '-') zoomTo(zoom / 2, middle());
    if (event.key === '0') zoomTo(1, 0);
  });
  let pending = false;
  const later = () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; measure(); });
  };
  scroll.addEventListener('scroll', later);
  addEventListener('resize', later);
  measure();

  // Lanes grow until names have room, and then are small again.
  let tall = 1;
  document.getElementById('taller').onclick = () => {
    const lanes = [...document.querySelectorAll('.lane')];
    const least = Math.min(...lanes.map((lane) => Number(lane.style.getPropertyValue('--h'))));
    tall = least * tall >= 12 ? 1 : Math.min(tall * 2, 14 / least);
    rows.style.setProperty('--tall', tall);
    for (const lane of lanes) lane.classList.toggle('small', lane.style.getPropertyValue('--h') * tall < 11);
  };

  // What is picked in the legend stays, and the rest makes room.
  let [pickedLock, pickedHost] = [null, null];
  function show() {
    rows.classList.toggle('picked', pickedLock !== null);
    for (const it of document.querySelectorAll('[data-lock]')) it.classList.toggle('on', it.dataset.lock === pickedLock);
    for (const it of document.querySelectorAll('[data-pick-lock]')) it.classList.toggle('on', it.dataset.pickLock === pickedLock);
    for (const it of document.querySelectorAll('[data-pick-host]')) it.classList.toggle('on', it.dataset.pickHost === pickedHost);
    for (const host of document.querySelectorAll('.host')) {
      host.hidden = pickedHost !== null && host.dataset.host !== pickedHost;
      for (const lane of host.querySelectorAll('.lane')) {
        lane.hidden = pickedLock !== null && !lane.querySelector(`[data-lock="${pickedLock}"]`);
      }
    }
  }
  document.addEventListener('click', (event) => {
    const it = event.target.closest('[data-pick-lock],[data-pick-host],[data-lock]');
    if (!it) return;
    const { pickHost } = it.dataset;
    const lock = it.dataset.pickLock ?? it.dataset.lock;
    if (pickHost !== undefined) pickedHost = pickedHost === pickHost ? null : pickHost;
    else pickedLock = pickedLock === lock ? null : lock;
    show();
  });

  // Titles at once, and in lines.
  let shown = null;
  const leave = () => {
    if (shown) shown.title = tip.textContent;
    shown = null;
    tip.hidden = true;
  };
  document.addEventListener('mouseover', (event) => {
    const it = event.target.closest('[title]');
    if (shown && shown.contains(event.target)) return;
    leave();
    if (!it || !it.title) return;
    shown = it;
    tip.textContent = it.title;
    it.removeAttribute('title');
    tip.hidden = false;
  });
  document.addEventListener('mousemove', (event) => {
    if (!shown) return;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18;
    tip.style.left = `${left}px`;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
  });
  document.addEventListener('mouseleave', leave);
})();
