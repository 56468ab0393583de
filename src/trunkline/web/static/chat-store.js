// Conversations in this browser, in IndexedDB: heads for the list, and the whole of each apart. Past so many, or so many bytes, the oldest go.
"use strict";

const NAME = "trunkline-chat";
const MOST = 200;
const MOST_BYTES = 200 * 2 ** 20;

/** A store that is kept; where the browser keeps nothing, one that ends with the page (`lasting` is false). */
export async function openStore() {
  try {
    return new Kept(await open());
  } catch {
    return new Fleeting();
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("heads", { keyPath: "id" });
      asked.result.createObjectStore("threads", { keyPath: "id" });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

function headOf(thread) {
  return { id: thread.id, title: thread.title, updated: thread.updated, bytes: JSON.stringify(thread).length };
}

function newestFirst(heads) {
  return heads.sort((one, other) => other.updated - one.updated);
}

/** Of the heads those that are too many. */
function surplus(heads) {
  let bytes = 0;
  return newestFirst(heads).filter((head, at) => (bytes += head.bytes) > MOST_BYTES ? at > 0 : at >= MOST);
}

class Kept {
  lasting = true;

  constructor(database) {
    this.database = database;
    // Another tab may want to change the shape of the store.
    database.onversionchange = () => database.close();
  }

  async list() {
    return newestFirst(await this.ask("readonly", (heads) => heads.getAll()));
  }

  read(id) {
    return this.ask("readonly", (_, threads) => threads.get(id));
  }

  async write(thread) {
    await this.ask("readwrite", (heads, threads) => {
      heads.put(headOf(thread));
      threads.put(thread);
    });
    for (const head of surplus(await this.list())) await this.remove(head.id);
  }

  remove(id) {
    return this.ask("readwrite", (heads, threads) => {
      heads.delete(id);
      threads.delete(id);
    });
  }

  clear() {
    return this.ask("readwrite", (heads, threads) => {
      heads.clear();
      threads.clear();
    });
  }

  ask(mode, question) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(["heads", "threads"], mode);
      const asked = question(transaction.objectStore("heads"), transaction.objectStore("threads"));
      transaction.oncomplete = () => resolve(asked?.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }
}

class Fleeting {
  lasting = false;
  threads = new Map();

  async list() {
    return newestFirst([...this.threads.values()].map(headOf));
  }

  async read(id) {
    return this.threads.get(id);
  }

  async write(thread) {
    this.threads.set(thread.id, structuredClone(thread));
  }

  async remove(id) {
    this.threads.delete(id);
  }

  async clear() {
    this.threads.clear();
  }
}
