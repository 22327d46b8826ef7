// Keeps a page going: asks for new numbers every second and draws them.
// Whatever comes from containers is set as text, never as markup. Nothing is asked of anybody but the server of this page.
"use strict";
(() => {
  const PERIOD = 1000, SLOWEST = 5000, PATIENCE = 10000, PROCESSES_EVERY = 5, FILTER_FROM = 12, GAP = 5000;
  const SVG = "http://www.w3.org/2000/svg";
  const prefix = document.body.dataset.prefix;
  const source = prefix + "/live" + location.pathname.slice(prefix.length);

  // Elements.

  const byId = (id) => document.getElementById(id);
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  function draw(name, attributes = {}, parent = null) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  }
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // Numbers for people. What is not known is a dash.

  const fixed = (value, digits) => value.toFixed(digits);
  function scaled(value, base, units) {
    let unit = 0;
    while (value >= base * 0.9995 && unit < units.length - 1) {
      value /= base;
      unit += 1;
    }
    const digits = unit === 0 || value >= 99.95 || value === Math.round(value) ? 0 : 1;
    return `${fixed(value, digits)}\u00a0${units[unit]}`;
  }
  const known = (format) => (value) => (value === null || value === undefined ? "–" : format(value));
  const bytes = known((value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]));
  const perSecond = known((value) => `${bytes(value)}/s`);
  const cpus = known((value) => fixed(value, value < 0.0995 && value > 0 ? 3 : 2));
  const percent = known((value) => `${fixed(value * 100, value < 0.0995 ? 1 : 0)}\u00a0%`);
  const clock = (time) => new Date(time).toLocaleTimeString();

  // A chart: lines over the last minutes, a scale with units, and a legend that tells the values now, or at the cursor.

  const charts = [];
  class Chart {
    constructor(title, lines, format, base, below = null) {
      Object.assign(this, { title, lines, format, base, cursor: null, data: null });
      this.svg = draw("svg", { role: "img", tabindex: "0" });
      this.grid = draw("g", { class: "grid" }, this.svg);
      this.limit = draw("path", { class: "limit" }, this.svg);
      this.paths = lines.map((_, i) => draw("path", { class: `line l${i}` }, this.svg));
      this.needle = draw("path", { class: "needle" }, this.svg);
      this.values = lines.map(() => make("b"));
      this.limitText = make("span", { class: "key limit-key" });
      this.time = make("span", { class: "time" });
      const keys = lines.map((line, i) => {
        const swatch = make("i", { class: `swatch s${i}`, "aria-hidden": "true" });
        return make("span", { class: "key" }, swatch, `${line.name} `, this.values[i]);
      });
      const legend = make("p", { class: "legend" }, ...keys, this.limitText, this.time);
      this.head = make("div", { class: "head" }, make("h2", {}, title));
      this.element = make("section", { class: "chart" }, this.head, this.svg, legend);
      if (below) this.element.append(below);
      this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
      this.svg.addEventListener("pointerleave", () => this.move(null));
      this.svg.addEventListener("blur", () => this.move(null));
      this.svg.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.show()).observe(this.svg);
      charts.push(this);
    }
    point(x) {
      if (!this.area) return;
      const { left, width, from, to } = this.area;
      this.move(from + ((x - left) / width) * (to - from));
    }
    key(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") this.move(null);
      if (!step || !this.data) return;
      event.preventDefault();
      this.move((this.cursor ?? this.data.to) + step * PERIOD);
    }
    move(cursor) {
      this.cursor = cursor === null || !this.data ? null : Math.min(Math.max(cursor, this.data.from), this.data.to);
      this.show();
    }
    // The points, each [time, values]; the time span; and a limit to be drawn if it is near.
    set(points, from, to, limit = null, limitName = "") {
      this.data = { points, from, to, limit, limitName };
      this.show();
    }
    show() {
      const width = this.svg.clientWidth, height = this.svg.clientHeight;
      if (!this.data || width < 50 || height < 50) return;
      const { points, from, to, limit, limitName } = this.data;
      let most = 0;
      for (const [, values] of points) for (const value of values) if (value > most) most = value;
      const isNear = limit !== null && most > 0 && limit <= most * 4;
      const { step, top } = scale(isNear ? Math.max(most, limit) : most, this.base);
      const left = 66, right = 10, head = 8, foot = 22;
      const area = { left, from, to, width: width - left - right };
      const x = (time) => fixed(left + ((time - from) / (to - from)) * area.width, 1);
      const y = (value) => fixed(head + (1 - value / top) * (height - head - foot), 1);
      this.area = area;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.grid.replaceChildren();
      for (let value = 0; value <= top * 1.001; value += step) {
        draw("path", { d: `M${left} ${y(value)}H${width - right}` }, this.grid);
        const label = draw("text", { x: left - 6, y: Number(y(value)) + 4, "text-anchor": "end" }, this.grid);
        label.textContent = this.format(value);
      }
      for (let part = 0; part <= 4; part += 1) {
        const time = from + ((to - from) * part) / 4;
        const anchor = part === 4 ? "end" : "middle";
        const label = draw("text", { x: x(time), y: height - 5, "text-anchor": anchor }, this.grid);
        label.textContent = part === 4 ? "now" : ago(to - time);
      }
      this.paths.forEach((path, i) => path.setAttribute("d", outline(points, i, x, y)));
      this.limit.setAttribute("d", isNear ? `M${left} ${y(limit)}H${width - right}` : "");
      say(this.limitText, limit === null ? "" : `${limitName} ${this.format(limit)}`);
      this.tell(points, x, head, height - foot);
    }
    tell(points, x, head, foot) {
      let shown = points[points.length - 1];
      // What was long ago is not now.
      if (shown && this.cursor === null && this.data.to - shown[0] > GAP) shown = undefined;
      if (this.cursor !== null) {
        for (const point of points) {
          if (Math.abs(point[0] - this.cursor) < Math.abs(shown[0] - this.cursor)) shown = point;
        }
      }
      this.needle.setAttribute("d", this.cursor !== null && shown ? `M${x(shown[0])} ${head}V${foot}` : "");
      say(this.time, this.cursor !== null && shown ? clock(shown[0]) : "");
      const texts = this.lines.map((line, i) => this.format(shown ? shown[1][i] : null));
      texts.forEach((text, i) => say(this.values[i], text));
      const summary = this.lines.map((line, i) => `${line.name} ${texts[i]}`).join(", ");
      this.svg.setAttribute("aria-label", `${this.title}: ${summary}. The arrow keys move through time.`);
    }
  }
  // Steps of 1, 2 or 5 times a power of the base's own, at most four of them.
  function scale(most, base) {
    if (!(most > 0)) return base === 1024 ? { step: 512, top: 1024 } : { step: 0.005, top: 0.01 };
    let unit = 1;
    if (base === 1024) while (most >= unit * 1024) unit *= 1024;
    const rough = most / unit / 4, power = 10 ** Math.floor(Math.log10(rough));
    const step = unit * power * [1, 2, 5, 10].find((times) => times * power >= rough * 0.999);
    return { step, top: step * Math.max(1, Math.ceil(most / step - 0.001)) };
  }
  const ago = (time) => {
    const seconds = Math.round(time / 1000);
    return seconds % 60 === 0 ? `−${seconds / 60} min` : `−${seconds} s`;
  };
  // Lines break where there is no value, and where nobody looked for a while.
  function outline(points, i, x, y) {
    let path = "", last = null;
    for (const [time, values] of points) {
      const value = values[i];
      if (value === null || value === undefined) {
        last = null;
        continue;
      }
      path += `${last !== null && time - last < GAP ? "L" : "M"}${x(time)} ${y(value)}`;
      last = time;
    }
    return path;
  }

  // The page's charts, made when there is something to show in them.

  const place = byId("charts");
  function chart(slot, order, makeIt) {
    if (!slot.chart) {
      slot.chart = makeIt();
      slot.order = order;
      const after = Object.values(slots).filter((other) => other.chart && other.order > order);
      place.insertBefore(slot.chart.element, after.length ? after[0].chart.element : null);
    }
    return slot.chart;
  }
  const slots = { cpu: {}, memory: {}, network: {}, disk: {}, pressure: {} };
  const series = { points: [], network: new Set(), disk: new Set(), path: null };

  // Which interface or device a chart shows: the busiest, until somebody chooses.
  function chooser(label) {
    const select = make("select", { "aria-label": label }), made = { select, names: "", isChosen: false };
    select.addEventListener("change", () => {
      made.isChosen = true;
      update();
    });
    return made;
  }
  function choose({ of, chooser: { select }, chooser: made }) {
    const names = [...series[of]], joined = names.join("\n"), before = select.value;
    if (made.names !== joined) {
      made.names = joined;
      select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
      select.disabled = names.length < 2;
      made.isChosen &&= names.includes(before);
      if (names.includes(before)) select.value = before;
    }
    if (!made.isChosen && names.length > 1 && !traffic(of, select.value)) {
      const sums = names.map((name) => traffic(of, name));
      select.value = names[sums.indexOf(Math.max(...sums))];
    }
    return select.value;
  }
  function traffic(of, name) {
    let sum = 0;
    for (const point of series.points) for (const value of point[of].get(name) ?? []) sum += value ?? 0;
    return sum;
  }

  let last = null;
  function update() {
    if (!last) return;
    const { points } = series, { most } = last, to = last.now, from = to - last.span;
    const has = (pick) => points.some((point) => pick(point).some((value) => value !== null));
    const pairs = (pick) => points.map((point) => [point.t, pick(point)]);
    if (slots.cpu.chart || has((point) => point.c)) {
      const limit = most.cpu ?? most.cores ?? null;
      chart(slots.cpu, 1, () => new Chart("CPU", [{ name: "CPUs used" }, { name: "user" }, { name: "system" }], cpus, 10))
        .set(pairs((point) => point.c), from, to, limit, most.cpu ? "limit" : "machine");
    }
    if (slots.memory.chart || has((point) => point.m)) {
      const limit = most.memory ?? most.machine ?? null;
      chart(slots.memory, 2, () => new Chart("Memory", [{ name: "in use" }, { name: "working set" }, { name: "swap" }], bytes, 1024))
        .set(pairs((point) => point.m), from, to, limit, most.memory ? "limit" : "machine");
    }
    const flows = (slot, of, order, title, label, lines) => {
      if (!slot.chart && !series[of].size) return;
      const it = chart(slot, order, () => {
        const made = new Chart(title, lines, perSecond, 1024);
        Object.assign(slot, { of, chooser: chooser(label) });
        made.head.append(slot.chooser.select);
        return made;
      });
      const name = choose(slot);
      it.set(pairs((point) => point[of].get(name) ?? [null, null]), from, to);
    };
    flows(slots.network, "network", 3, "Network", "Interface", [{ name: "received" }, { name: "sent" }]);
    flows(slots.disk, "disk", 4, "Disk", "Device", [{ name: "read" }, { name: "written" }]);
    if (slots.pressure.chart || has((point) => point.p)) {
      chart(slots.pressure, 5, () => new Chart("Waiting (pressure)", [{ name: "CPU" }, { name: "memory" }, { name: "disk" }], percent, 10))
        .set(pairs((point) => point.p), from, to);
    }
  }

  function take(answer) {
    if (answer.whole || (answer.path && answer.path !== series.path)) {
      Object.assign(series, { points: [], network: new Set(), disk: new Set(), path: answer.path });
    }
    answer.interfaces.forEach((name) => series.network.add(name));
    answer.devices.forEach((name) => series.disk.add(name));
    for (const { t, c, m, p, n, d } of answer.points) {
      const network = new Map(answer.interfaces.map((name, i) => [name, n[i]]));
      const disk = new Map(answer.devices.map((name, i) => [name, d[i]]));
      series.points.push({ t, c, m, p, network, disk });
    }
    const oldest = answer.now - answer.span;
    while (series.points.length && series.points[0].t < oldest) series.points.shift();
  }

  // Facts.

  function tell(id, heading, facts) {
    let section = byId(id);
    if (!section && facts.length) {
      section = make("section", { id }, make("h2", {}, heading), make("dl"));
      place.before(section);
    }
    if (!section) return;
    const list = section.querySelector("dl"), text = JSON.stringify(facts);
    if (section.told === text) return;
    section.told = text;
    list.replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  // Space on disk.

  let spaces = null;
  function space(filesystems) {
    const shown = filesystems.filter((one) => one.usage !== undefined && one.capacity > 0);
    if (!spaces) {
      if (!shown.length) return;
      spaces = make("section", { id: "space" }, make("h2", {}, "Space on disk"), make("ul", { class: "bars" }));
      byId("below").before(spaces);
    }
    spaces.hidden = !shown.length;
    const text = JSON.stringify(shown);
    if (spaces.told === text) return;
    spaces.told = text;
    spaces.querySelector("ul").replaceChildren(...shown.map((one) => {
      const share = Math.min(one.usage / one.capacity, 1);
      const fill = make("i", { class: share > 0.9 ? "fill full" : "fill", "aria-hidden": "true" });
      fill.style.width = `${fixed(share * 100, 1)}%`;
      const name = one.device + (one.kind ? ` (${one.kind})` : "");
      const value = `${bytes(one.usage)} of ${bytes(one.capacity)}, ${percent(share)}`;
      return make("li", {}, make("span", {}, name || "?"), make("b", {}, value), make("span", { class: "bar" }, fill));
    }));
  }

  // The table of what is below: a tree by default, a "top" when it is sorted.

  const below = { section: byId("below"), key: "", list: [], rows: [], order: "", sort: "name", filter: "" };
  const COLUMNS = { name: "Name", state: "State", image: "Image", cpu: "CPUs", memory: "Memory" };
  function header() {
    const row = make("tr");
    for (const [column, title] of Object.entries(COLUMNS)) {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        below.sort = column;
        arrange();
      });
      const kind = { cpu: "number", memory: "number", image: "extra" }[column] ?? "";
      row.append(make("th", { scope: "col", class: kind, "data-column": column }, button));
    }
    below.section.querySelector("thead").replaceChildren(row);
    const input = make("input", { type: "search", id: "filter", placeholder: "Filter", "aria-label": "Filter by name, state or image" });
    input.addEventListener("input", () => {
      below.filter = input.value.trim().toLowerCase();
      arrange();
    });
    below.input = make("div", { class: "head" }, below.section.querySelector("h2"), input);
    below.section.prepend(below.input);
    below.none = make("p", { class: "message", hidden: "" }, "Nothing has such a name, state or image.");
    below.section.append(below.none);
  }
  function list(rows) {
    if (!below.input) header();
    if (rows.list) {
      below.key = rows.key;
      below.list = rows.list;
      below.rows = rows.list.map((row) => {
        const link = make("a", { href: prefix + row.href }, row.name);
        const cells = { cpu: make("b"), memory: make("b"), cpuBar: make("i"), memoryBar: make("i") };
        const number = (value, bar) => make("td", { class: "number" }, bar, value);
        const tr = make("tr", {},
          make("td", { class: `d${Math.min(row.depth, 9)}` }, link),
          make("td", { class: row.state.startsWith("running") || !row.state ? "" : "off" }, row.state),
          make("td", { class: "extra" }, row.image),
          number(cells.cpu, cells.cpuBar), number(cells.memory, cells.memoryBar));
        const text = `${row.name}\n${row.state}\n${row.image}\n${row.href}`.toLowerCase();
        return { ...row, ...cells, tr, text, cpuNow: null, memoryNow: null };
      });
      below.section.querySelector("tbody").replaceChildren(...below.rows.map((row) => row.tr));
      below.order = "";
      below.section.querySelector("input").hidden = below.rows.length < FILTER_FROM;
    }
    below.section.hidden = !below.rows.length;
    const cores = last.most.cores ?? 1, machine = last.most.machine;
    rows.now.forEach(([cpu, memory], i) => {
      const row = below.rows[i];
      if (!row) return;
      Object.assign(row, { cpuNow: cpu, memoryNow: memory });
      say(row.cpu, cpus(cpu));
      say(row.memory, bytes(memory));
      row.cpuBar.style.width = share(cpu, cores);
      row.memoryBar.style.width = share(memory, row.limit ?? machine);
    });
    arrange();
  }
  function share(value, of) {
    return value && of ? `${fixed(Math.min(value / of, 1) * 100, 1)}%` : "0";
  }
  function arrange() {
    const { sort, rows, filter } = below, text = (of) => (a, b) => a[of].localeCompare(b[of]);
    const down = (of) => (a, b) => (b[of] ?? -1) - (a[of] ?? -1);
    const by = { state: text("state"), image: text("image"), cpu: down("cpuNow"), memory: down("memoryNow") }[sort];
    const ordered = by ? rows.map((row, i) => [row, i]).sort((a, b) => by(a[0], b[0]) || a[1] - b[1]) : rows.map((row, i) => [row, i]);
    const order = ordered.map(([, i]) => i).join();
    if (order !== below.order) {
      below.order = order;
      const body = below.section.querySelector("tbody"), focused = document.activeElement;
      body.append(...ordered.map(([row]) => row.tr));
      if (body.contains(focused)) focused.focus({ preventScroll: true });
    }
    let shown = 0;
    for (const row of rows) {
      row.tr.hidden = filter !== "" && !row.text.includes(filter);
      if (!row.tr.hidden) shown += 1;
    }
    below.none.hidden = shown > 0 || !rows.length;
    below.section.classList.toggle("flat", sort !== "name" || filter !== "");
    for (const th of below.section.querySelectorAll("th")) {
      const { column } = th.dataset, kind = ["cpu", "memory"].includes(column) ? "descending" : "ascending";
      if (column === sort) th.setAttribute("aria-sort", kind);
      else th.removeAttribute("aria-sort");
    }
  }

  // Processes. Their CPU is that since the table before; at first, that of their whole life.

  let before = new Map(), tasksAt = 0;
  function processes(tasks, now) {
    const section = byId("processes");
    const elapsed = (now - tasksAt) / 1000, next = new Map();
    const rows = tasks.map((task) => {
      const key = `${task.pid} ${task.start}`, old = before.get(key);
      next.set(key, task.cpu_seconds);
      const isNew = old === undefined || elapsed < 0.5;
      return { ...task, cpu: isNew ? task.percent_cpu : Math.max(0, ((task.cpu_seconds - old) / elapsed) * 100) };
    });
    [before, tasksAt] = [next, now];
    rows.sort((a, b) => b.cpu - a.cpu || b.rss - a.rss);
    section.hidden = !rows.length;
    section.classList.toggle("alone", rows.every((row) => !row.within));
    if (!section.querySelector("table")) {
      const titles = [["User", ""], ["PID", "number"], ["Command", "name"], ["State", "extra"], ["CPU", "number"], ["Memory", "number"], ["In", "extra within"]];
      const cells = titles.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
      section.append(make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...cells)), make("tbody"))));
    }
    const cell = (text, kind = "") => make("td", { class: kind }, text);
    section.querySelector("tbody").replaceChildren(...rows.map((row) => make("tr", {},
      cell(row.user), cell(String(row.pid), "number"), cell(row.command, "name"), cell(row.status, "extra"),
      cell(`${fixed(row.cpu, 1)}\u00a0%`, "number"), cell(bytes(row.rss), "number"), cell(row.within, "extra within"))));
  }

  // Asking. It pauses when nobody sees the page, and goes on by itself when the server comes back.

  const status = byId("status");
  let timer = 0, isAsking = false, wait = PERIOD, tick = 0, since = 0, awaySince = null;
  function stand(kind, text) {
    document.body.dataset.state = kind;
    say(status, text);
  }
  function show(answer) {
    last = answer;
    since = answer.now;
    take(answer);
    update();
    tell("daemon", "Daemon", answer.daemon ?? []);
    tell("facts", "Facts and limits", answer.facts);
    space(answer.filesystems);
    list(answer.rows);
    if (answer.processes || answer.note) processes(answer.processes ?? [], Date.now());
    if (answer.note) stand("still", answer.note);
    else stand("live", "Live");
  }
  async function ask() {
    timer = 0;
    if (document.hidden || isAsking) return;
    isAsking = true;
    const began = performance.now();
    const wanted = tick % PROCESSES_EVERY === 0 || tick === 2 ? "&processes=1" : "";
    try {
      const reply = await fetch(`${source}?since=${since}&rows=${below.key}${wanted}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (reply.status === 404) {
        awaySince ??= Date.now();
        stand("gone", `This container is gone since ${clock(awaySince)}. The page goes on if it comes back.`);
        wait = Math.min(wait * 1.5, SLOWEST);
      } else if (!reply.ok) {
        throw new Error(`answered ${reply.status}`);
      } else {
        show(await reply.json());
        tick += 1;
        [awaySince, wait] = [null, PERIOD];
      }
    } catch (error) {
      awaySince ??= Date.now();
      const why = /^answered/.test(error.message) ? error.message : "does not answer";
      stand("away", `The server ${why} since ${clock(awaySince)}. The page goes on when it is back.`);
      wait = Math.min(wait * 1.5, SLOWEST);
    }
    isAsking = false;
    timer = setTimeout(ask, Math.max(wait - (performance.now() - began), 100));
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = 0;
      stand("paused", "Paused while nobody looks.");
    } else if (!timer) {
      ask();
    }
  });
  if (byId("below")) ask();
})();
