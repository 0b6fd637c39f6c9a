// Tables and tiles. Names come from whoever starts a worker or asks for a service: they become text
// here, and never HTML (textContent alone).

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// What does not change is not touched: a screen reader, a selection and the focus stay where they are.
function setText(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

// A table with a column for each of `columns`: {title, value(row), text(row), number, prose, bad(row), action(row)}. `value` is
// what it is sorted by; the first column names the row. A row is a card on a narrow screen, where `display: block`
// would take the table's meaning away: so the roles are said.
class Table {
  // With a `section` there are, besides the table, its filter and how many rows there are: .count and .rest. One that is
  // `inOrder` shows its rows as they come.
  constructor(table, columns, {key, section, inOrder = false}) {
    this.table = table;
    this.columns = columns;
    this.key = key;
    this.section = section;
    this.inOrder = inOrder;
    this.filter = section?.querySelector(".filter input");
    this.sorting = {column: 0, down: false};
    this.rows = new Map();
    this.last = [];
    this.leftOut = 0;
    table.setAttribute("role", "table");
    const head = element("tr", undefined, {role: "row"});
    this.heads = columns.map((column, at) => head.appendChild(this.head(column, at)));
    table.tHead.setAttribute("role", "rowgroup");
    table.tBodies[0].setAttribute("role", "rowgroup");
    table.tHead.append(head);
    this.filter?.addEventListener("input", () => this.show(this.last, this.leftOut));
  }

  head(column, at) {
    const made = element("th", undefined, {scope: "col", role: "columnheader"});
    if (column.number) made.className = "number";
    if (column.action || this.inOrder) {
      made.textContent = column.title;
      return made;
    }
    const button = made.appendChild(element("button", column.title, {type: "button"}));
    button.addEventListener("click", () => {
      const same = this.sorting.column === at;
      this.sorting = {column: at, down: same ? !this.sorting.down : Boolean(column.number)};
      this.show(this.last, this.leftOut);
    });
    return made;
  }

  compare(a, b) {
    const {column, down} = this.sorting;
    const value = this.columns[column].value;
    const [x, y] = [value(a), value(b)];
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (down ? -order : order) || this.key(a).localeCompare(this.key(b));
  }

  // Shows these and no others; so many more there are that the broker did not name.
  show(all, leftOut = 0) {
    this.last = all;
    this.leftOut = leftOut;
    this.heads.forEach((head, at) => {
      if (at !== this.sorting.column || this.inOrder) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.sorting.down ? "descending" : "ascending");
    });
    const wanted = this.filter ? this.filter.value.trim().toLowerCase() : "";
    const shown = all.filter(row => this.key(row).toLowerCase().includes(wanted));
    if (!this.inOrder) shown.sort((a, b) => this.compare(a, b));
    const keys = new Set(shown.map(this.key));
    for (const [key, row] of this.rows)
      if (!keys.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    const body = this.table.tBodies[0];
    shown.forEach((row, at) => {
      const made = this.rows.get(this.key(row)) ?? this.add(row);
      this.update(made, row);
      if (body.children[at] !== made) body.insertBefore(made, body.children[at] ?? null);
    });
    this.table.hidden = all.length === 0;
    if (this.section) this.showCount(shown.length, all.length + leftOut);
  }

  showCount(shown, all) {
    setText(this.section.querySelector(".count"), shown === all ? count(all) : `${count(shown)} of ${count(all)}`);
    const others = this.leftOut > 0 ? `And ${count(this.leftOut)} others, which have less to do.` : "";
    setText(this.section.querySelector(".rest"), all === 0 ? "There are none." : others);
  }

  add(row) {
    const made = element("tr", undefined, {role: "row"});
    this.columns.forEach((column, at) => {
      const cell = at === 0 ? element("th", undefined, {scope: "row", role: "rowheader"})
        : element("td", undefined, {role: "cell", "data-label": column.title});
      if (column.number) cell.className = "number";
      if (column.prose) cell.className = "prose";
      if (column.action) {
        cell.className = "action";
        cell.append(element("button", "", {type: "button"}));
      }
      made.append(cell);
    });
    this.rows.set(this.key(row), made);
    return made;
  }

  update(made, row) {
    this.columns.forEach((column, at) => {
      const cell = made.children[at];
      if (column.action) return this.updateAction(cell.firstChild, column.action(row));
      setText(cell, column.text ? column.text(row) : String(column.value(row)));
      cell.classList.toggle("bad", Boolean(column.bad && column.bad(row)));
    });
  }

  // `action`: {words, label, run}, or nothing that could be done.
  updateAction(button, action) {
    button.hidden = !action;
    if (!action) return;
    setText(button, action.words);
    button.setAttribute("aria-label", action.label);
    button.onclick = action.run;
  }
}

// Tiles: [[what, text, bad], ...], always the same ones in the same order.
function showTiles(list, tiles) {
  tiles.forEach(([what, text, bad], at) => {
    const tile = list.children[at] ?? list.appendChild(newTile());
    setText(tile.firstChild, what);
    setText(tile.lastChild, text);
    tile.lastChild.classList.toggle("bad", Boolean(bad));
  });
}

function newTile() {
  const tile = element("div", undefined, {class: "tile"});
  tile.append(element("dt"), element("dd"));
  return tile;
}
