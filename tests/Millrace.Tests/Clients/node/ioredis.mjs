// A session of ioredis: connect, streams, groups, transactions, publish and subscribe, scans, a lock, and a restart of the server.

import Redis from 'ioredis';
import { finish, holds, host, port, protocol, restart, same, until } from './session.mjs';

const options = { host, port, protocol, connectionName: `ioredis-${protocol}`, retryStrategy: () => 50 };
const redis = new Redis(options);
const blocking = new Redis({ ...options, connectionName: 'blocking' });
for (const client of [redis, blocking]) client.on('error', () => {}); // The restart breaks connections; commands say what failed.

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
  same(await redis.client('GETNAME'), `ioredis-${protocol}`);
  const clients = await redis.client('LIST');
  holds(clients.includes(`name=ioredis-${protocol} `) && clients.includes(`resp=${protocol}`) === clients.includes('resp='), clients);
  holds((await redis.info('server')).includes('redis_version:'), 'INFO');
  holds((await redis.client('ID')) > 0, 'CLIENT ID');
  await redis.flushall();
}

async function streams() {
  same(await redis.xadd('orders', '1-1', 'type', 'created', 'id', 'a'), '1-1');
  same(await redis.xadd('orders', '1-2', 'type', 'paid', 'id', 'a'), '1-2');
  holds(/^\d{13}-\d+$/.test(await redis.xadd('orders', '*', 'type', 'shipped', 'id', 'ä€😀')), 'generated ID');
  same(await redis.xlen('orders'), 3);
  same(await redis.xrange('orders', '-', '(1-2'), [['1-1', ['type', 'created', 'id', 'a']]]);
  same((await redis.xrevrange('orders', '+', '-', 'COUNT', 1))[0][1], ['type', 'shipped', 'id', 'ä€😀']);
  same(await redis.xread('COUNT', 1, 'STREAMS', 'orders', '1-1'), [['orders', [['1-2', ['type', 'paid', 'id', 'a']]]]]);
  same(await redis.xread('STREAMS', 'orders', '9999999999999-0'), null);
  same(await redis.xdel('orders', '1-1', '7-7'), 1);
  same(await redis.xtrim('orders', 'MAXLEN', 1), 1);
  same(await redis.type('orders'), 'stream');
  await refused(redis.xadd('orders', '1-1', 'f', 'v'), 'ERR The ID specified in XADD is equal or smaller');
  await refused(redis.get('orders'), 'WRONGTYPE ');
  await refused(redis.call('NOSUCH', 'a'), "ERR unknown command 'NOSUCH'");
  same(await redis.xaddBuffer('bytes', '1-1', Buffer.from([0xff, 0, 13, 10]), Buffer.from([0x80])), Buffer.from('1-1'));
  same(await redis.xrangeBuffer('bytes', '-', '+'), [[Buffer.from('1-1'), [Buffer.from([0xff, 0, 13, 10]), Buffer.from([0x80])]]]);
}

async function groups() {
  same(await redis.xgroup('CREATE', 'work', 'g', '0', 'MKSTREAM'), 'OK');
  await refused(redis.xgroup('CREATE', 'work', 'g', '0'), 'BUSYGROUP ');
  for (let i = 1; i <= 5; i++) await redis.xadd('work', `${i}-0`, 'n', i);
  const first = await redis.xreadgroup('GROUP', 'g', 'one', 'COUNT', 3, 'STREAMS', 'work', '>');
  same(first, [['work', [1, 2, 3].map(i => [`${i}-0`, ['n', `${i}`]])]]);
  same(await redis.xack('work', 'g', '1-0', '9-0'), 1);
  same(await redis.xpending('work', 'g'), [2, '2-0', '3-0', [['one', '2']]]);
  const detail = await redis.xpending('work', 'g', 'IDLE', 0, '-', '+', 10, 'one');
  same(detail.map(([id, consumer, , count]) => [id, consumer, count]), [['2-0', 'one', 1], ['3-0', 'one', 1]]);
  await redis.xdel('work', '3-0');
  same(await redis.xautoclaim('work', 'g', 'two', 0, '0', 'COUNT', 10), ['0-0', [['2-0', ['n', '2']]], ['3-0']]);
  same(await redis.xclaim('work', 'g', 'one', 0, '2-0', 'JUSTID'), ['2-0']);
  const [group] = await redis.xinfo('GROUPS', 'work');
  same(field(group, 'name'), 'g');
  same([field(group, 'consumers'), field(group, 'pending'), field(group, 'last-delivered-id')], [2, 1, '3-0']);
  same((await redis.xinfo('CONSUMERS', 'work', 'g')).map(consumer => field(consumer, 'name')), ['one', 'two']);
  const info = await redis.xinfo('STREAM', 'work');
  same([field(info, 'length'), field(info, 'groups'), field(info, 'entries-added')], [4, 1, 5]);
  same(field(info, 'first-entry'), ['1-0', ['n', '1']]);
  same(field(field(await redis.xinfo('STREAM', 'work', 'FULL'), 'groups')[0], 'pel-count'), 1);
  same(await redis.xgroup('DELCONSUMER', 'work', 'g', 'one'), 1);
  await refused(redis.xreadgroup('GROUP', 'none', 'c', 'STREAMS', 'work', '>'), 'NOGROUP ');
}

async function waitingReads() {
  await redis.xgroup('CREATE', 'wait', 'g', '$', 'MKSTREAM');
  const read = blocking.xreadgroup('GROUP', 'g', 'c', 'BLOCK', 20000, 'STREAMS', 'wait', '>');
  await untilBlocked();
  await redis.xadd('wait', '5-5', 'f', 'v');
  same(await read, [['wait', [['5-5', ['f', 'v']]]]]);
  same(await blocking.xread('BLOCK', 5, 'STREAMS', 'wait', '$'), null);
  const unblocked = blocking.xread('BLOCK', 0, 'STREAMS', 'wait', '$');
  await untilBlocked();
  same(await redis.client('UNBLOCK', await idOf('blocking')), 1);
  same(await unblocked, null);
  const popped = blocking.blpop('list', 20);
  await untilBlocked();
  same(await redis.lpush('list', 'a'), 1);
  same(await popped, ['list', 'a']);
}

async function transactions() {
  const results = await redis.multi().xadd('tx', '1-1', 'f', 'v').xlen('tx').set('s', '5').incr('s').exec();
  same(results, [[null, '1-1'], [null, 1], [null, 'OK'], [null, 6]]);
  const broken = await redis.multi().incr('tx').xlen('tx').exec();
  holds(broken[0][0].message.startsWith('WRONGTYPE ') && broken[1][1] === 1, 'an error inside a transaction stops nothing');
  await redis.watch('s');
  await blocking.set('s', 'other');
  same(await redis.multi().set('s', 'mine').exec(), null);
  same(await redis.get('s'), 'other');
  const pipelined = await redis.pipeline().xadd('tx', '2-1', 'f', 'v').xadd('tx', '1-1', 'f', 'v').xlen('tx').exec();
  same(pipelined.map(([error, value]) => error?.message.slice(0, 3) ?? value), ['2-1', 'ERR', 2]);
}

async function subscriptions() {
  const subscriber = new Redis({ ...options, connectionName: 'subscriber' });
  const messages = [];
  subscriber.on('message', (channel, message) => messages.push(`${channel}: ${message}`));
  subscriber.on('pmessage', (pattern, channel, message) => messages.push(`${pattern} ${channel}: ${message}`));
  same(await subscriber.subscribe('news', 'sport'), 2);
  same(await subscriber.psubscribe('ne*'), 3);
  same(await redis.publish('news', 'hello'), 2);
  same(await redis.publish('nobody', 'hello'), 0);
  await until('both messages came', () => messages.length === 2);
  same(messages.sort(), ['ne* news: hello', 'news: hello']);
  same(await subscriber.unsubscribe('news', 'sport'), 1);
  subscriber.disconnect();
}

async function scans() {
  const names = Array.from({ length: 50 }, (_, i) => `scan:${i}`);
  for (const name of names) await redis.xadd(name, '1-1', 'f', 'v');
  await redis.set('scan:string', 'x');
  const found = new Set();
  for await (const keys of redis.scanStream({ match: 'scan:*', type: 'stream', count: 7 })) keys.forEach(key => found.add(key));
  same([...found].sort(), names.sort());
  same((await redis.keys('scan:4?')).length, 10);
  same(await redis.unlink(...names), 50);
}

async function lock() {
  same(await redis.set('lock', 'me', 'PX', 30000, 'NX'), 'OK');
  same(await redis.set('lock', 'you', 'PX', 30000, 'NX'), null);
  const left = await redis.pttl('lock');
  holds(left > 0 && left <= 30000, `PTTL ${left}`);
  same(await redis.set('lock', 'again', 'XX', 'KEEPTTL', 'GET'), 'me');
  holds((await redis.pttl('lock')) > 0, 'KEEPTTL');
  same(await redis.del('lock'), 1);
  same([await redis.sadd('set', 'a', 'a'), await redis.smembers('set')], [1, ['a']]);
  await redis.expire('set', 100);
  same([await redis.persist('set'), await redis.ttl('set')], [1, -1]);
}

async function afterRestart() {
  await restart();
  holds(/-\d+$/.test(await redis.xadd('after', '*', 'f', 'v')), 'XADD after the restart');
  same(await redis.xlen('after'), 1);
  same(await redis.client('GETNAME'), `ioredis-${protocol}`);
  same(await redis.quit(), 'OK');
}

async function refused(command, message) {
  const error = await command.then(() => null, e => e);
  holds(error?.message.startsWith(message), `${message} was ${error?.message}`);
}

async function idOf(name) {
  const line = (await redis.client('LIST')).split('\n').find(client => client.includes(` name=${name} `));
  return Number(/\bid=(\d+)/.exec(line)[1]);
}

async function untilBlocked() {
  await until('the read waits', async () => / name=blocking .* flags=b/.test(await redis.client('LIST')));
}

// A value of a reply that is a flat list of names and values, as ioredis hands out maps in both protocols.
function field(map, name) {
  return map[map.indexOf(name) + 1];
}
