// The defaults of the quick start (`serve -quick-start`, which `npm start` runs): a relay on loopback that needs no
// configuration. Its key and certificate are created in the state folder at the first start, and kept.

import { join } from 'node:path'
import type { Presets, RawSettings } from './read-settings.ts'

/** Visible, so that whoever has tried the quick start can remove what it has left. */
const STATE_FOLDER = './state'

/** Reads the settings, with the quick start's presets if the operator has chosen it. */
export function withQuickStartPresets(read: (presets: Presets) => RawSettings): RawSettings {
  const plain = read({})
  return plain.values.get('quick-start')
    ? read(presetsFor(plain.values.get('state-dir') ?? STATE_FOLDER))
    : plain
}

/** The ports need no privilege. */
function presetsFor(stateFolder: string): Presets {
  return {
    listen: '127.0.0.1:8443',
    'http-port': '8080',
    hostname: 'localhost',
    certmode: 'manual',
    'state-dir': stateFolder,
    certdir: stateFolder,
    'key-file': join(stateFolder, 'derper.key'),
    'log-format': 'text',
  }
}
