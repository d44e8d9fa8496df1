"use strict";
/* texts stand in scripts beside the page, several in each, which are loaded when one is read */

const texts = new Map();
const scripts = new Map();

/* each script calls this */
function receive(key, text) {
  texts.set(key, text);
}

async function textOf(key) {
  if (!texts.has(key)) await loaded(`${data.texts}/${key.split("-")[0]}.js`);
  return texts.get(key);
}

function loaded(file) {
  if (!scripts.has(file)) scripts.set(file, new Promise((done, failed) => {
    const missing = () => { scripts.delete(file); failed(new Error(`${file} is not beside this page`)); };
    document.head.append(element("script", { src: file, onload: done, onerror: missing }));
  }));
  return scripts.get(file);
}
