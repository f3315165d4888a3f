// The page follows the read model through server-sent events and changes nothing by itself: what it shows is what the streams say.

const cardsPerLane = matchMedia('(max-width: 560px)').matches ? 4 : 8;
const ordersKept = 600;
const clientsOfHundred = 8;

const byId = id => document.getElementById(id);
const euros = new Intl.NumberFormat('en', { style: 'currency', currency: 'EUR' });
const lanes = new Map([...document.querySelectorAll('.lane')].map(lane => [lane.dataset.status, lane]));
const services = new Map([...document.querySelectorAll('.service')].map(tile => [tile.dataset.stream, tile]));

const state = {
  orders: new Map(), // by ID, the latest change last
  cards: new Map(), // by order ID: the element and the view it shows
  counts: { processing: 0, completed: 0, cancelled: 0, deadLettered: 0, awaitingPayment: 0, awaitingStock: 0 },
  streams: [],
  isPaymentBroken: false,
  isRenderPlanned: false,
  watched: new Set(), // orders this visitor placed one by one: their ends are announced
  shownOrder: null,
};

// ---- following ------------------------------------------------------------------------------------------------------

function follow() {
  const feed = new EventSource('live');
  feed.addEventListener('open', () => showConnection(true));
  feed.addEventListener('error', () => showConnection(false));
  feed.addEventListener('snapshot', event => {
    state.orders.clear();
    take(JSON.parse(event.data));
  });
  feed.addEventListener('update', event => take(JSON.parse(event.data)));
}

function take(update) {
  for (const order of update.orders) {
    state.orders.delete(order.id);
    state.orders.set(order.id, order);
    announceEnd(order);
  }
  for (const id of state.orders.keys()) {
    if (state.orders.size <= ordersKept) break;
    state.orders.delete(id);
  }
  for (const row of update.streams) {
    const before = state.streams.find(other => other.stream === row.stream);
    if (before && before.length !== row.length) flash(services.get(row.stream));
  }
  state.counts = update.counts;
  state.streams = update.streams;
  state.isPaymentBroken = update.isPaymentBroken;
  planRender();
}

function showConnection(isLive) {
  const element = byId('connection');
  element.classList.toggle('live', isLive);
  element.querySelector('.text').textContent = isLive ? 'Live' : 'Reconnecting…';
}

function announceEnd(order) {
  if (order.status === 'processing' || !state.watched.delete(order.id)) return;
  announce(`Order ${shortId(order.id)} is ${words[order.status]}. ${order.reason ?? ''}`);
}

function announce(text) {
  byId('announce').textContent = text;
}

// ---- drawing --------------------------------------------------------------------------------------------------------

const words = { processing: 'processing', completed: 'completed', cancelled: 'cancelled', deadLettered: 'in the dead letters' };
const paymentChips = {
  awaited: ['Payment', 'waiting'], paid: ['Paid', 'good'], failed: ['Not paid', 'bad'], refunded: ['Refunded', 'undone'], givenUp: ['Payment gave up', 'bad'],
};
const stockChips = {
  awaited: ['Stock', 'waiting'], reserved: ['Reserved', 'good'], rejected: ['No stock', 'bad'], released: ['Put back', 'undone'], givenUp: ['Stock gave up', 'bad'],
};

function planRender() {
  if (state.isRenderPlanned) return;
  state.isRenderPlanned = true;
  requestAnimationFrame(() => {
    state.isRenderPlanned = false;
    render();
  });
}

function render() {
  for (const [status, lane] of lanes) {
    byId(`count-${status}`).textContent = state.counts[status].toLocaleString('en');
    renderLane(lane, status);
  }
  renderServices();
  renderStreams();
  renderBreak();
  if (state.shownOrder) renderDetails();
}

function renderLane(lane, status) {
  const list = lane.querySelector('ol');
  const shown = [];
  for (const order of [...state.orders.values()].reverse()) {
    if (order.status === status && shown.push(order) === cardsPerLane) break;
  }
  const wanted = new Set(shown.map(order => order.id));
  for (const item of [...list.children]) if (!wanted.has(item.dataset.id)) dropCard(item);
  shown.forEach((order, index) => {
    const item = cardOf(order);
    if (list.children[index] !== item) {
      const hadFocus = item.contains(document.activeElement);
      list.insertBefore(item, list.children[index] ?? null);
      if (hadFocus) item.firstElementChild.focus();
    }
  });
  const more = lane.querySelector('.more');
  const hidden = state.counts[status] - shown.length;
  more.hidden = hidden <= 0;
  more.textContent = `and ${hidden.toLocaleString('en')} more`;
}

function dropCard(item) {
  const id = item.dataset.id;
  const order = state.orders.get(id);
  // A card that only changes its lane is moved by that lane.
  if (order && item.closest('.lane').dataset.status !== order.status) return item.remove();
  state.cards.delete(id);
  item.remove();
}

function cardOf(order) {
  let card = state.cards.get(order.id);
  if (!card) {
    const item = element('li');
    item.dataset.id = order.id;
    const button = element('button', 'card');
    button.type = 'button';
    button.addEventListener('click', () => openDetails(order.id));
    item.append(button);
    card = { item, view: null };
    state.cards.set(order.id, card);
  }
  if (card.view !== order) {
    card.view = order;
    const head = element('span', 'head');
    head.append(element('span', '', shortId(order.id)), element('span', '', euros.format(order.total ?? 0)));
    const chips = element('span', 'chips');
    chips.append(chip(paymentChips[order.payment]), chip(stockChips[order.stock]));
    if (order.express) chips.prepend(chip(['Express', 'good']));
    if (order.mail) chips.append(chip(['Mailed', '']));
    card.item.firstElementChild.replaceChildren(head, element('span', 'what', describe(order)), chips);
  }
  return card.item;
}

function renderServices() {
  for (const [stream, tile] of services) {
    const published = state.streams.filter(one => one.stream === stream || one.stream.startsWith(`{${stream}}:lane:`))
      .reduce((sum, row) => sum + row.length, 0);
    // A retry waits in the schedule, outside pending and lag, so these two count the orders that still want an answer.
    const groups = state.streams.flatMap(one => one.groups).filter(group => group.name === stream);
    const waiting = { payments: state.counts.awaitingPayment, inventory: state.counts.awaitingStock }[stream]
      ?? groups.reduce((sum, group) => sum + group.pending + (group.lag ?? 0), 0);
    tile.querySelector('.published').textContent = published.toLocaleString('en');
    tile.querySelector('.waiting').textContent = waiting.toLocaleString('en');
  }
  services.get('payments').classList.toggle('broken', state.isPaymentBroken);
}

function renderStreams() {
  const rows = [];
  for (const { stream, length, groups } of state.streams) {
    (groups.length ? groups : [null]).forEach((group, index) => {
      const row = element('tr');
      if (index === 0) {
        const name = element('th', '', stream);
        name.scope = 'row';
        const entries = element('td', 'number', length.toLocaleString('en'));
        name.rowSpan = entries.rowSpan = Math.max(1, groups.length);
        row.append(name, entries);
      }
      row.append(element('td', '', group?.name ?? '–'));
      row.append(figure(group?.lag, 'hot'), figure(group?.pending, 'hot'), figure(group?.retrying), figure(group?.dead, 'grave'));
      rows.push(row);
    });
  }
  byId('streams').replaceChildren(...rows);
}

function renderBreak() {
  const button = byId('break');
  button.setAttribute('aria-pressed', state.isPaymentBroken);
  button.textContent = state.isPaymentBroken ? 'Mend it' : 'Break it';
}

function openDetails(id) {
  state.shownOrder = id;
  renderDetails();
  byId('details').showModal();
}

function renderDetails() {
  const order = state.orders.get(state.shownOrder);
  if (!order) return;
  byId('details-title').textContent = `Order ${order.id}`;
  const facts = [
    ['Status', words[order.status]], ['Why', order.reason], ['Customer', order.customer], ['Total', euros.format(order.total ?? 0)],
    ['Items', (order.items ?? []).map(line => `${line.quantity} × ${line.sku}`).join(', ')], ['Correlation', order.correlationId],
  ];
  byId('details-facts').replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [element('dt', '', name), element('dd', '', value)]));
  const events = [...order.events].sort((a, b) => a.time.localeCompare(b.time));
  const began = events.length ? new Date(events[0].time).getTime() : 0;
  byId('details-events').replaceChildren(...events.map(event => {
    const time = new Date(event.time);
    const when = event === events[0] ? time.toLocaleTimeString('en-GB') : `+${(time.getTime() - began).toLocaleString('en')} ms`;
    const item = element('li', '', event.type);
    item.append(element('span', 'where', ` · ${event.stream} · ${when}`));
    return item;
  }));
}

function flash(tile) {
  if (!tile) return;
  tile.classList.add('busy');
  clearTimeout(tile.calmTimer);
  tile.calmTimer = setTimeout(() => tile.classList.remove('busy'), 600);
}

// Everything that came from outside becomes text, never markup.
function element(name, className = '', text = '') {
  const created = document.createElement(name);
  if (className) created.className = className;
  created.textContent = text;
  return created;
}

function chip([text, kind]) {
  return element('span', `chip ${kind}`, text);
}

function figure(value, warning = '') {
  return element('td', value > 0 && warning ? `number ${warning}` : 'number', value === undefined ? '–' : value === null ? '?' : value.toLocaleString('en'));
}

function shortId(id) {
  return id.length <= 12 ? id : `…${id.slice(-8)}`;
}

function describe(order) {
  return order.reason ?? (order.items ?? []).map(line => `${line.quantity} × ${line.sku}`).join(', ');
}

// ---- acting ---------------------------------------------------------------------------------------------------------

async function send(path, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw Object.assign(new Error(answer.detail ?? answer.title ?? `The shop answered ${response.status}.`), { errors: answer.errors ?? {} });
}

async function placeOne(event) {
  event.preventDefault();
  clearErrors();
  const quantity = byId('quantity').value;
  try {
    const order = await send('orders', {
      customer: 'visitor@shop.example',
      card: byId('card').value,
      express: byId('express').checked,
      items: [{ sku: byId('sku').value, quantity: quantity === '' ? null : Number(quantity) }],
    });
    state.watched.add(order.id);
    byId('placed').textContent = `Order ${shortId(order.id)} is on its way.`;
  } catch (error) {
    showErrors(error);
  }
}

function showErrors(error) {
  const fields = { 'items[0].sku': 'sku', 'items[0].quantity': 'quantity' };
  const others = [];
  for (const [path, messages] of Object.entries(error.errors ?? {})) {
    const field = fields[path];
    if (!field) others.push(...messages);
    else {
      byId(field).setAttribute('aria-invalid', 'true');
      showError(byId(`${field}-error`), messages.join(' '));
      byId(field).focus();
    }
  }
  if (others.length || !Object.keys(error.errors ?? {}).length) showError(byId('form-error'), others.join(' ') || error.message);
  else announce(Object.values(error.errors).flat().join(' '));
}

function showError(target, text) {
  target.textContent = text;
  target.hidden = false;
}

function clearErrors() {
  for (const field of ['sku', 'quantity']) {
    byId(field).removeAttribute('aria-invalid');
    byId(`${field}-error`).hidden = true;
  }
  byId('form-error').hidden = true;
}

async function placeHundred() {
  clearErrors();
  const button = byId('place-hundred');
  button.disabled = true;
  const skus = [...byId('sku').options].map(option => option.value).filter(sku => sku !== 'moon-lamp' && sku !== 'cursed-mirror');
  let next = 0;
  let placed = 0;
  const client = async () => {
    while (next < 100) {
      const number = next++;
      const sku = number === 50 ? 'cursed-mirror' : number % 16 === 7 ? 'moon-lamp' : skus[number % skus.length];
      await send('orders', {
        customer: `visitor-${number}@shop.example`,
        card: number % 11 === 5 ? 'tok_declined' : 'tok_visa',
        express: number % 10 === 0,
        items: [{ sku, quantity: sku === 'moon-lamp' ? 5 : 1 + number % 3 }],
      });
      byId('placed').textContent = `${++placed} of 100 placed.`;
    }
  };
  try {
    await Promise.all(Array.from({ length: clientsOfHundred }, client));
    byId('placed').textContent = 'A hundred orders are on their way.';
  } catch (error) {
    showErrors(error);
  } finally {
    button.disabled = false;
  }
}

async function toggleBreak() {
  try {
    const answer = await send('admin/payments/break', { broken: !state.isPaymentBroken });
    state.isPaymentBroken = answer.broken;
    announce(answer.broken ? 'The payment service is broken: orders wait.' : 'The payment service works again.');
    planRender();
  } catch (error) {
    showErrors(error);
  }
}

async function fillCatalog() {
  const products = await (await fetch('catalog')).json();
  byId('sku').replaceChildren(...products.map(product => {
    const option = element('option', '', `${product.name}, ${euros.format(product.price)}`);
    option.value = product.sku;
    return option;
  }));
}

byId('order-form').addEventListener('submit', placeOne);
byId('place-hundred').addEventListener('click', placeHundred);
byId('break').addEventListener('click', toggleBreak);
byId('details').addEventListener('close', () => { state.shownOrder = null; });
await fillCatalog();
follow();
