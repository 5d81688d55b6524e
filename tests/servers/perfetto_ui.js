// node perfetto_ui.js DIST TRACE SQL...: the trace processor of the Perfetto UI that stands in DIST reads TRACE; a line of JSON with
// the rows for each query. Fails where the processor does.
//
// It is WebAssembly, and the UI's engine_bundle.js the worker around it: bytes of protobuf in and out over a MessagePort
// (perfetto/protos/perfetto/trace_processor/trace_processor.proto). The few fields that are needed are read by hand.
'use strict';
// Without the source line, which is the whole bundle.
process.on('uncaughtException', error => { console.error(error && error.stack || error); process.exit(1); });
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [APPEND, FINALIZE, QUERY] = [1, 2, 3]; // TraceProcessorMethod
const [NULL, VARINT, FLOAT64, STRING] = [1, 2, 3, 4]; // CellsBatch.CellType

function varint(value) {
  const out = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push(value % 128 + 128);
  return Buffer.from([...out, value]);
}

const bytes = (field, value) => Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);
const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);

function readVarint(data, at) {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = data[at.pos++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return Number(BigInt.asIntN(64, value));
  }
}

function* fields(data) {
  const at = {pos: 0};
  while (at.pos < data.length) {
    const tag = readVarint(data, at);
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: yield [field, readVarint(data, at)]; break;
      case 1: yield [field, data.subarray(at.pos, at.pos += 8)]; break;
      case 2: { const size = readVarint(data, at); yield [field, data.subarray(at.pos, at.pos += size)]; break; }
      default: throw new Error(`wire type ${tag % 8}`);
    }
  }
}

function* packed(data) {
  const at = {pos: 0};
  while (at.pos < data.length) yield readVarint(data, at);
}

function cellsOf(batch) {
  const found = Object.fromEntries(fields(batch)); // each field stands there once
  const integers = packed(found[2] || Buffer.alloc(0));
  const strings = (found[5] ? found[5].toString() : '').split('\0')[Symbol.iterator]();
  let float = 0;
  const cells = [...packed(found[1] || Buffer.alloc(0))].map(kind => {
    switch (kind) {
      case NULL: return null;
      case VARINT: return integers.next().value;
      case FLOAT64: return found[3].readDoubleLE(8 * float++);
      case STRING: return strings.next().value;
      default: throw new Error(`cell type ${kind}`);
    }
  });
  return {cells, last: Boolean(found[6])};
}

class Query {
  constructor() { this.columns = []; this.cells = []; this.done = false; }
  take(result) {
    for (const [field, value] of fields(result)) {
      if (field === 1) this.columns.push(value.toString());
      if (field === 2 && value.length) throw new Error(value.toString());
      if (field === 3) { const cells = cellsOf(value); this.cells.push(...cells.cells); this.done ||= cells.last; }
    }
  }
  rows() {
    const rows = [];
    for (let i = 0; i < this.cells.length; i += this.columns.length) {
      rows.push(Object.fromEntries(this.columns.map((name, j) => [name, this.cells[i + j]])));
    }
    return rows;
  }
}

function startEngine(dist) {
  const read = name => fs.readFileSync(path.join(dist, path.basename(String(name))));
  const worker = {
    location: {href: 'https://localhost/engine_bundle.js'},
    XMLHttpRequest: class { // of a worker, where it may wait for the answer
      open(method, name) { this.name = name; }
      send() { this.response = new Uint8Array(read(this.name)).buffer; }
    },
    importScripts() {},
    WorkerGlobalScope: Object,
    Uint8Array, WebAssembly, TypeError, RangeError, TextDecoder, TextEncoder, URL, performance, console, setTimeout,
  };
  worker.self = worker; // a context of its own, without `process`: it would take itself to be in node
  vm.runInContext(read('engine_bundle.js').toString(), vm.createContext(worker));
  const {port1, port2} = new MessageChannel();
  worker.onmessage({data: port2});
  return port1;
}

async function main([dist, trace, ...queries]) {
  const port = startEngine(dist);
  const replies = [];
  let wake = () => {};
  port.onmessage = event => { replies.push(Buffer.from(event.data)); wake(); };
  let sequence = 0;
  async function ask(method, args, take) {
    const body = Buffer.concat([number(1, ++sequence), number(2, method), args]);
    port.postMessage(new Uint8Array(bytes(1, body)));
    for (;;) {
      while (!replies.length) await new Promise(done => { wake = done; });
      for (const [, message] of fields(replies.shift())) {
        if (take(new Map(fields(message)))) return;
      }
    }
  }
  const data = fs.readFileSync(trace);
  await ask(APPEND, bytes(101, data), () => true);
  await ask(FINALIZE, Buffer.alloc(0), () => true);
  for (const sql of queries) {
    const query = new Query();
    await ask(QUERY, bytes(103, bytes(1, Buffer.from(sql))), m => { query.take(m.get(203)); return query.done; });
    console.log(JSON.stringify(query.rows()));
  }
  port.close();
}
main(process.argv.slice(2)).catch(error => { console.error(error); process.exit(1); });
