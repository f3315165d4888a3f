// A session of node-redis, the package `redis`: the same things in its words.

import { createClient } from 'redis';
import { finish, holds, host, port, protocol, restart, same, until } from './session.mjs';

const options = { RESP: protocol, socket: { host, port, reconnectStrategy: () => 50 } };
const redis = createClient({ ...options, name: `node-redis-${protocol}` });
const blocking = createClient({ ...options, name: 'blocking' });
for (const client of [redis, blocking]) {
  client.on('error', () => {}); // The restart breaks connections; commands say what failed.
  await client.connect();
}

await connection();
await streams();
await groups();
await waitingReads();
await transactions();
await subscriptions();
await scans();
await lock();
await afterRestart();
finish();

async function connection() {
  same(await redis.ping(), 'PONG');
  same(await redis.echo('räksmörgås'), 'räksmörgås');
  same(await redis.clientGetName(), `node-redis-${protocol}`);
  holds((await redis.clientList()).some(client => client.name === `node-redis-${protocol}`), 'CLIENT LIST');
  holds((await redis.clientInfo()).id === (await redis.clientId()), 'CLIENT INFO');
  holds((await redis.info('server')).includes('redis_version:'), 'INFO');
  await redis.flushAll();
}

async function streams() {
  same(await redis.xAdd('orders', '1-1', { type: 'created', id: 'a' }), '1-1');
  same(await redis.xAdd('orders', '1-2', { type: 'paid', id: 'a' }, { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: 1000 } }), '1-2');
  holds(/^\d{13}-\d+$/.test(await redis.xAdd('orders', '*', { type: 'shipped', id: 'ä€😀' })), 'generated ID');
  same(await redis.xLen('orders'), 3);
  same(plain(await redis.xRange('orders', '-', '(1-2')), [{ id: '1-1', message: { type: 'created', id: 'a' } }]);
  same(plain((await redis.xRevRange('orders', '+', '-', { COUNT: 1 }))[0].message), { type: 'shipped', id: 'ä€😀' });
  same(read(await redis.xRead({ key: 'orders', id: '1-1' }, { COUNT: 1 })), { orders: [{ id: '1-2', message: { type: 'paid', id: 'a' } }] });
  same(await redis.xRead({ key: 'orders', id: '9999999999999-0' }), null);
  same(await redis.xDel('orders', ['1-1', '7-7']), 1);
  same(await redis.xTrim('orders', 'MAXLEN', 1), 1);
  same(await redis.type('orders'), 'stream');
  await refused(redis.xAdd('orders', '1-1', { f: 'v' }), 'ERR The ID specified in XADD is equal or smaller');
  await refused(redis.get('orders'), 'WRONGTYPE ');
  await refused(redis.sendCommand(['NOSUCH', 'a']), "ERR unknown command 'NOSUCH'");
}

async function groups() {
  same(await redis.xGroupCreate('work', 'g', '0', { MKSTREAM: true }), 'OK');
  await refused(redis.xGroupCreate('work', 'g', '0'), 'BUSYGROUP ');
  for (let i = 1; i <= 5; i++) await redis.xAdd('work', `${i}-0`, { n: `${i}` });
  const first = read(await redis.xReadGroup('g', 'one', { key: 'work', id: '>' }, { COUNT: 3 }));
  same(first.work.map(entry => entry.id), ['1-0', '2-0', '3-0']);
  same(await redis.xAck('work', 'g', ['1-0', '9-0']), 1);
  const summary = await redis.xPending('work', 'g');
  same([summary.pending, summary.firstId, summary.lastId, plain(summary.consumers)], [2, '2-0', '3-0', [{ name: 'one', deliveriesCounter: 2 }]]);
  const detail = await redis.xPendingRange('work', 'g', '-', '+', 10, { IDLE: 0, consumer: 'one' });
  same(detail.map(entry => [entry.id, entry.consumer, entry.deliveriesCounter]), [['2-0', 'one', 1], ['3-0', 'one', 1]]);
  await redis.xDel('work', '3-0');
  const claimed = await redis.xAutoClaim('work', 'g', 'two', 0, '0', { COUNT: 10 });
  same([claimed.nextId, claimed.messages.map(entry => entry.id), claimed.deletedMessages], ['0-0', ['2-0'], ['3-0']]);
  same(await redis.xClaimJustId('work', 'g', 'one', 0, '2-0'), ['2-0']);
  const [group] = await redis.xInfoGroups('work');
  same([group.name, group.consumers, group.pending, group['last-delivered-id']], ['g', 2, 1, '3-0']);
  same((await redis.xInfoConsumers('work', 'g')).map(consumer => consumer.name), ['one', 'two']);
  const info = await redis.xInfoStream('work');
  same([info.length, info.groups, info['last-generated-id']], [4, 1, '5-0']);
  same(await redis.xGroupDelConsumer('work', 'g', 'one'), 1);
  await refused(redis.xReadGroup('none', 'c', { key: 'work', id: '>' }), 'NOGROUP ');
}

async function waitingReads() {
  await redis.xGroupCreate('wait', 'g', '$', { MKSTREAM: true });
  const waiting = blocking.xReadGroup('g', 'c', { key: 'wait', id: '>' }, { BLOCK: 20000 });
  await untilBlocked();
  await redis.xAdd('wait', '5-5', { f: 'v' });
  same(read(await waiting), { wait: [{ id: '5-5', message: { f: 'v' } }] });
  same(await blocking.xRead({ key: 'wait', id: '$' }, { BLOCK: 5 }), null);
  const unblocked = blocking.xRead({ key: 'wait', id: '$' }, { BLOCK: 0 });
  await untilBlocked();
  const { id } = (await redis.clientList()).find(client => client.name === 'blocking');
  same(await redis.sendCommand(['CLIENT', 'UNBLOCK', `${id}`]), 1);
  same(await unblocked, null);
}

async function transactions() {
  const results = await redis.multi().xAdd('tx', '1-1', { f: 'v' }).xLen('tx').set('s', '5').incr('s').exec();
  same(results, ['1-1', 1, 'OK', 6]);
  await redis.watch('s');
  await blocking.set('s', 'other');
  await refused(redis.multi().set('s', 'mine').exec(), 'One (or more) of the watched keys has been changed');
  same(await redis.get('s'), 'other');
  same(await Promise.all([redis.xAdd('tx', '2-1', { f: 'v' }), redis.xLen('tx'), redis.ping()]), ['2-1', 2, 'PONG']);
}

async function subscriptions() {
  const subscriber = await createClient({ ...options, name: 'subscriber' }).connect();
  const messages = [];
  await subscriber.subscribe(['news', 'sport'], (message, channel) => messages.push(`${channel}: ${message}`));
  await subscriber.pSubscribe('ne*', (message, channel) => messages.push(`ne* ${channel}: ${message}`));
  same(await redis.publish('news', 'hello'), 2);
  same(await redis.publish('nobody', 'hello'), 0);
  await until('both messages came', () => messages.length === 2);
  same(messages.sort(), ['ne* news: hello', 'news: hello']);
  await subscriber.unsubscribe();
  subscriber.destroy();
}

async function scans() {
  const names = Array.from({ length: 50 }, (_, i) => `scan:${i}`);
  for (const name of names) await redis.xAdd(name, '1-1', { f: 'v' });
  await redis.set('scan:string', 'x');
  const found = new Set();
  for await (const keys of redis.scanIterator({ MATCH: 'scan:*', TYPE: 'stream', COUNT: 7 })) keys.forEach(key => found.add(key));
  same([...found].sort(), names.sort());
  same((await redis.keys('scan:4?')).length, 10);
  same(await redis.unlink(names), 50);
}

async function lock() {
  same(await redis.set('lock', 'me', { PX: 30000, NX: true }), 'OK');
  same(await redis.set('lock', 'you', { PX: 30000, NX: true }), null);
  const left = await redis.pTTL('lock');
  holds(left > 0 && left <= 30000, `PTTL ${left}`);
  same(await redis.set('lock', 'again', { XX: true, KEEPTTL: true, GET: true }), 'me');
  holds((await redis.pTTL('lock')) > 0, 'KEEPTTL');
  same(await redis.del('lock'), 1);
  same(await redis.sAdd('set', ['a', 'a']), 1);
  same([...(await redis.sMembers('set'))], ['a']);
  await redis.expire('set', 100);
  same([Number(await redis.persist('set')), await redis.ttl('set')], [1, -1]);
}

async function afterRestart() {
  await restart();
  await until('the client is connected again', async () => redis.ping().then(() => true, () => false));
  holds(/-\d+$/.test(await redis.xAdd('after', '*', { f: 'v' })), 'XADD after the restart');
  same(await redis.xLen('after'), 1);
  same(await redis.clientGetName(), `node-redis-${protocol}`);
  await redis.close();
}

async function refused(command, message) {
  const error = await command.then(() => null, e => e);
  holds(error?.message.startsWith(message), `${message} was ${error?.message}`);
}

async function untilBlocked() {
  await until('the read waits', async () => (await redis.clientList()).some(client => client.name === 'blocking' && client.flags.includes('b')));
}

// What XREAD answers, as one object: its shape follows the protocol.
function read(reply) {
  const pairs = Array.isArray(reply) ? reply.map(stream => [stream.name, stream.messages]) : Object.entries(reply);
  return Object.fromEntries(pairs.map(([name, entries]) => [name, plain(entries)]));
}

// Entries without the prototypes node-redis gives its objects.
function plain(value) {
  return JSON.parse(JSON.stringify(value));
}
