// What an application does with npm's etcd3. `node stories.js STORY HOST:PORT,...` plays one story;
// exit code 0 says that all of it held. With CA, CERT and KEY it shows a certificate over TLS, and with
// USER_NAME a name and a password, too.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const readline = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const { Etcd3, EtcdLockFailedError, EtcdPermissionDeniedError } = require('etcd3');

const [, , story, hosts] = process.argv;
const { CA, CERT, KEY, USER_NAME, PASSWORD } = process.env;
const options = {
  hosts: hosts.split(',').map(host => (CA ? 'https://' : '') + host),
  credentials: CA && {
    rootCertificate: fs.readFileSync(CA),
    certChain: fs.readFileSync(CERT),
    privateKey: fs.readFileSync(KEY),
  },
  auth: USER_NAME && { username: USER_NAME, password: PASSWORD },
};
const client = new Etcd3(options);

async function until(what, condition) {
  const deadline = Date.now() + 20000;
  for (;;) {
    const value = await condition();
    if (value) {
      return value;
    }
    assert(Date.now() < deadline, `not within 20 s: ${what}`);
    await sleep(20);
  }
}

// The next event of that name.
function once(emitter, event) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${event} within 20 s`)), 20000);
    emitter.on(event, (...values) => {
      clearTimeout(late);
      resolve(values);
    });
  });
}

const stories = {
  // Of a user who may read and write what begins with foo.
  async permissions() {
    await client.put('foo/a').value('1');
    assert.equal(await client.get('foo/a').string(), '1');
    await assert.rejects(client.put('bar').value('1').exec(), EtcdPermissionDeniedError);
    await assert.rejects(client.get('bar').string(), EtcdPermissionDeniedError);
    await assert.rejects(client.getAll().keys(), EtcdPermissionDeniedError);
  },

  async keys() {
    await client.put('keys/a').value('1');
    await client.put('keys/b').value(2);
    await client.put('keys/c').value(Buffer.from([0, 255, 10]));
    assert.equal(await client.get('keys/a').string(), '1');
    assert.equal(await client.get('keys/b').number(), 2);
    assert.deepEqual(await client.get('keys/c').buffer(), Buffer.from([0, 255, 10]));
    assert.equal(await client.get('keys/none').string(), null);
    const all = client.getAll().prefix('keys/');
    assert.deepEqual(await all.keys(), ['keys/a', 'keys/b', 'keys/c']);
    assert.equal(await client.getAll().prefix('keys/').count(), 3);
    const two = await client.getAll().prefix('keys/').sort('Key', 'Descend').limit(2).exec();
    assert.deepEqual(two.kvs.map(kv => kv.key.toString()), ['keys/c', 'keys/b']);
    assert.deepEqual([two.more, two.count], [true, '3']);
    const before = await client.put('keys/a').value('new').getPrevious();
    assert.equal(before.value.toString(), '1');
    assert.equal(await client.get('keys/a').revision(before.mod_revision).string(), '1');
    await client.put('keys/a').touch();
    assert.equal(await client.get('keys/a').string(), 'new');
    const changed = await client.getAll().prefix('keys/').sort('Mod', 'Descend').limit(1).keys();
    assert.deepEqual(changed, ['keys/a']);
    const gone = await client.delete().inRange({ start: 'keys/a', end: 'keys/c' }).getPrevious();
    assert.deepEqual(gone.map(kv => kv.value.toString()), ['new', '2']);
    const rest = await client.delete().prefix('keys/');
    assert.equal(rest.deleted, '1');
  },

  async namespaces() {
    const outer = client.namespace('space/');
    const inner = outer.namespace('inner/');
    await outer.put('a').value('outer');
    await inner.put('a').value('inner');
    assert.equal(await client.get('space/inner/a').string(), 'inner');
    assert.deepEqual(await outer.getAll().strings(), { a: 'outer', 'inner/a': 'inner' });
    assert.deepEqual(await inner.getAll().keys(), ['a']);
    const watcher = await inner.watch().prefix('').create();
    const seen = once(watcher, 'put');
    await inner.put('b').value('1');
    assert.equal((await seen)[0].key.toString(), 'b');
    await watcher.cancel();
    await outer.delete().all();
    assert.deepEqual(await client.getAll().prefix('space/').keys(), []);
  },

  async transactions() {
    const lease = client.lease(60, { autoKeepAlive: false });
    await lease.put('txn/a').value('5');
    const kv = (await client.get('txn/a').exec()).kvs[0];
    assert.equal(kv.lease, await lease.grant());
    const holds = [
      ['Value', '==', '5'], ['Value', '!=', '6'], ['Value', '>', '4'], ['Value', '<', '6'],
      ['Version', '==', 1], ['Version', '>', 0], ['Mod', '==', kv.mod_revision],
      ['Create', '==', kv.create_revision], ['Create', '<', 1e9], ['Lease', '==', kv.lease],
    ];
    for (const [column, is, value] of holds) {
      const answer = await client.if('txn/a', column, is, value)
        .then(client.put('txn/b').value(column)).else(client.get('txn/a')).commit();
      assert(answer.succeeded, `${column} ${is} ${value}`);
    }
    const failed = await client.if('txn/a', 'Value', '==', 'wrong').and('txn/b', 'Version', '>', 0)
      .then(client.delete().key('txn/a')).else(client.get('txn/a'), client.get('txn/b')).commit();
    assert.equal(failed.succeeded, false);
    assert.deepEqual(failed.responses.map(r => r.response_range.kvs[0].value.toString()),
      ['5', 'Lease']);
    await assert.rejects(client.if('txn/a', 'Version', '>', 0)
      .then(client.put('txn/x').value(1), client.put('txn/x').value(2)).commit(),
      /duplicate key given in txn request/);
    await lease.revoke();
    assert.equal(await client.get('txn/a').string(), null);
  },

  async memory() {
    // Transactions that are tried again until nobody came between, from two clients at once.
    const other = new Etcd3(options);
    const add = from => from.stm({ retries: 100 }).transact(async tx => {
      const value = (await tx.get('stm/n').number()) || 0;
      await tx.put('stm/n').value(value + 1);
    });
    const turns = from => [1, 2, 3, 4, 5].reduce(before => before.then(() => add(from)),
      Promise.resolve());
    await Promise.all([turns(client), turns(other)]);
    assert.equal(await client.get('stm/n').number(), 10);
    other.close();
  },

  async leases() {
    const kept = client.lease(1);
    await kept.put('lease/kept').value('1');
    const answers = [];
    kept.on('keepaliveSucceeded', answer => answers.push(answer.TTL));
    const left = client.lease(1, { autoKeepAlive: false });
    await left.put('lease/left').value('1');
    await until('the lease that nobody keeps ends', async () =>
      (await client.get('lease/left').string()) === null);
    await until('the other one is kept', () => answers.length >= 4);
    assert.equal(await client.get('lease/kept').string(), '1');
    assert.deepEqual([...new Set(answers)], ['1']);
    const lost = once(kept, 'lost');
    await client.leaseClient.leaseRevoke({ ID: await kept.grant() });
    await lost;
    assert.equal(await client.get('lease/kept').string(), null);
    const listed = await client.leaseClient.leaseLeases();
    assert(!listed.leases.some(l => l.ID === left.leaseID));
  },

  async watches() {
    const first = (await client.put('watch/a').value('0')).header.revision;
    const told = [];
    const all = await client.watch().prefix('watch/').startRevision(first).withPreviousKV().create();
    all.on('put', (kv, before) => told.push(`${kv.key}=${kv.value} (${before ? before.value : ''})`));
    all.on('delete', (kv, before) => told.push(`${kv.key} gone (${before.value})`));
    const deletions = await client.watch().key('watch/a').only('delete').create();
    const deleted = once(deletions, 'delete');
    for (const value of ['1', '2']) {
      await client.put('watch/a').value(value);
    }
    await client.put('watch/b').value('3');
    await client.delete().key('watch/a');
    await until('all events', () => told.length >= 5);
    assert.deepEqual(told, ['watch/a=0 ()', 'watch/a=1 (0)', 'watch/a=2 (1)', 'watch/b=3 ()',
      'watch/a gone (2)']);
    await deleted;
    await all.cancel();
    await client.put('watch/b').value('4');
    await deletions.cancel();
    assert.equal(told.length, 5);
  },

  async locks() {
    // Tries, each of which gets the lock or is told that it is held.
    const other = new Etcd3(options);
    const result = await client.lock('lock/a').ttl(30).do(async () => {
      await assert.rejects(other.lock('lock/a').acquire(), EtcdLockFailedError);
      return 'done';
    });
    assert.equal(result, 'done');
    const taken = await other.lock('lock/a').acquire();
    await taken.release();
    other.close();
  },

  async elections() {
    const other = new Etcd3(options);
    const election = client.election('boss', 30);
    const first = election.campaign('one');
    await first.wait();
    const observer = await other.election('boss', 30).observe();
    assert.equal(observer.leader(), 'one');
    const leaders = [];
    observer.on('change', leader => leaders.push(leader));
    await first.proclaim('one again');
    await until('the new value is told', () => leaders.includes('one again'));
    const second = other.election('boss', 30).campaign('two');
    const elected = once(second, 'elected');
    await until('the second one waits in line', async () =>
      (await client.getAll().prefix('election/boss/').count()) === 2);
    assert.equal(await election.leader(), 'one again');
    await first.resign();
    await elected;
    assert.equal(await election.leader(), 'two');
    await until('the second one is told', () => leaders.includes('two'));
    await second.resign();
    await observer.cancel();
    other.close();
  },

  async members() {
    const status = await client.maintenance.status();
    assert.match(status.version, /^3\.\d+\.\d+/);
    const { members } = await client.cluster.memberList({});
    assert.deepEqual(members.flatMap(m => m.clientURLs).sort(),
      hosts.split(',').map(h => `http://${h}`).sort());
    assert(members.some(m => m.ID === status.leader));
  },

  // The test kills the leader between "ready" and the line that it writes.
  async failover() {
    const told = [];
    const revisions = [];
    const lease = client.lease(10);
    await lease.put('over/mine').value('1');
    const watcher = await client.watch().prefix('over/n').create();
    watcher.on('put', kv => {
      told.push(Number(kv.value.toString()));
      revisions.push(Number(kv.mod_revision));
    });
    const acknowledged = [];
    let n = 0;
    const write = async () => {
      n += 1;
      try {
        await client.put('over/n').value(n);
        acknowledged.push(n);
      } catch (error) {
        await sleep(20);
      }
    };
    while (acknowledged.length < 20) {
      await write();
    }
    console.log('ready');
    let killed = false;
    readline.createInterface({ input: process.stdin }).once('line', () => { killed = true; });
    while (!killed) {
      await write();
    }
    const before = acknowledged.length;
    await until('writes are taken again', async () => {
      await write();
      return acknowledged.length >= before + 20;
    });
    const last = acknowledged[acknowledged.length - 1];
    await until('the watch goes on', () => told[told.length - 1] === last);
    // A value may be there twice: the client repeats a write whose outcome it does not know.
    assert.deepEqual(revisions, [...new Set(revisions)].sort((a, b) => a - b), 'in order, each once');
    assert.deepEqual(acknowledged.filter(i => !told.includes(i)), [], 'all that was acknowledged');
    assert.equal(await client.get('over/mine').string(), '1');
    assert.equal(lease.revoked(), false);
    await lease.revoke();
    await watcher.cancel();
  },
};

stories[story]().then(() => process.exit(0), error => {
  console.error(error);
  process.exit(1);
});
