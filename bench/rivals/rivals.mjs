// The same work as the framework's benchmark, as Node does it: publish JSON, deliver, parse, handle with a handler that does nothing, acknowledge.
//   node rivals.mjs PORT
// Reads lines "RIVAL MESSAGES" and answers each with the milliseconds from the first publish until every message is acknowledged.
import { createInterface } from 'node:readline';
import { Queue, QueueEvents, Worker } from 'bullmq';
import Redis from 'ioredis';

const options = { host: '127.0.0.1', port: Number(process.argv[2]) };
const stream = 'bench';
const group = 'handlers';
const filling = 'x'.repeat(150);
const batchSize = 1000;

const makeMessage = (number) => ({ number, sentAt: 0, text: filling });
const handle = async (message) => message;

/** Publishes in pipelines of 1,000, two under way; reads up to 1,000 at a time and acknowledges them with one XACK, which the next read follows unawaited. */
async function pipelined(messages) {
  const [producer, consumer] = [new Redis(options), new Redis(options)];
  await consumer.xgroup('CREATE', stream, group, '0', 'MKSTREAM');
  const start = performance.now();

  const publish = async () => {
    const underWay = [];
    for (let sent = 0; sent < messages; ) {
      const pipeline = producer.pipeline();
      for (const end = Math.min(sent + batchSize, messages); sent < end; sent++) {
        pipeline.xadd(stream, '*', 'data', JSON.stringify(makeMessage(sent)));
      }
      underWay.push(pipeline.exec());
      if (underWay.length === 2) await underWay.shift();
    }
    await Promise.all(underWay);
  };

  const consume = async () => {
    let acked;
    for (let left = messages; left > 0; ) {
      const reply = await consumer.xreadgroup('GROUP', group, 'one', 'COUNT', batchSize, 'BLOCK', 5000, 'STREAMS', stream, '>');
      if (!reply) throw new Error('There is nothing left to read.');
      const ids = [];
      for (const [id, fields] of reply[0][1]) {
        await handle(JSON.parse(fields[1]));
        ids.push(id);
      }
      acked = consumer.xack(stream, group, ...ids);
      left -= ids.length;
    }
    await acked;
  };

  await Promise.all([publish(), consume()]);
  const elapsed = performance.now() - start;
  producer.disconnect();
  consumer.disconnect();
  return elapsed;
}

/** As the articles write it: await every call, ten entries a read, one XACK a message. */
async function sequential(messages) {
  const [producer, consumer] = [new Redis(options), new Redis(options)];
  await consumer.xgroup('CREATE', stream, group, '0', 'MKSTREAM');
  const start = performance.now();

  const publish = async () => {
    for (let i = 0; i < messages; i++) await producer.xadd(stream, '*', 'event', JSON.stringify(makeMessage(i)));
  };

  const consume = async () => {
    for (let left = messages; left > 0; ) {
      const reply = await consumer.xreadgroup('GROUP', group, 'one', 'COUNT', 10, 'BLOCK', 5000, 'STREAMS', stream, '>');
      for (const [id, fields] of reply[0][1]) {
        await handle(JSON.parse(fields[1]));
        await consumer.xack(stream, group, id);
        left--;
      }
    }
  };

  await Promise.all([publish(), consume()]);
  const elapsed = performance.now() - start;
  producer.disconnect();
  consumer.disconnect();
  return elapsed;
}

/** addBulk of 1,000 at a time and one worker with a hundred jobs at once, which forgets what is done. */
async function bullmq(messages) {
  const queue = new Queue(stream, { connection: options, defaultJobOptions: { removeOnComplete: true } });
  let worker;
  let left = messages;
  const done = new Promise((resolve, reject) => {
    const work = async (job) => handle(job.data);
    worker = new Worker(stream, work, { connection: { ...options, maxRetriesPerRequest: null }, concurrency: 100, autorun: false });
    worker.on('completed', () => --left === 0 && resolve());
    worker.on('error', reject);
  });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  const start = performance.now();
  worker.run();
  for (let sent = 0; sent < messages; sent += batchSize) {
    const size = Math.min(batchSize, messages - sent);
    await queue.addBulk(Array.from({ length: size }, (_, i) => ({ name: 'event', data: makeMessage(sent + i) })));
  }
  await done;
  const elapsed = performance.now() - start;
  await worker.close();
  await queue.close();
  return elapsed;
}

/** Jobs whose result is awaited, a hundred under way. */
async function bullmqresults(messages) {
  const queue = new Queue(stream, { connection: options, defaultJobOptions: { removeOnComplete: { age: 3600 } } });
  const events = new QueueEvents(stream, { connection: { ...options, maxRetriesPerRequest: null } });
  const work = async (job) => handle(job.data);
  const worker = new Worker(stream, work, { connection: { ...options, maxRetriesPerRequest: null }, concurrency: 100, autorun: false });
  for (const emitter of [queue, events]) emitter.setMaxListeners(0); // Every job that is waited for listens to both.
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  const start = performance.now();
  worker.run();
  let sent = 0;
  const caller = async () => {
    while (sent < messages) {
      const number = sent++;
      const job = await queue.add('event', makeMessage(number));
      const result = await job.waitUntilFinished(events);
      if (result.number !== number) throw new Error("The result is another job's.");
    }
  };
  await Promise.all(Array.from({ length: 100 }, caller));
  const elapsed = performance.now() - start;
  await worker.close();
  await events.close();
  await queue.close();
  return elapsed;
}

const rivals = { pipelined, sequential, bullmq, bullmqresults };
for await (const line of createInterface({ input: process.stdin })) {
  const [rival, messages] = line.split(' ');
  console.log(await rivals[rival](Number(messages)));
}
