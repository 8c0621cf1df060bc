import { expect, it } from 'vitest'
import { KeyListFile } from '#control/key-list-file.ts'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { clientA } from '../vectors/keys.ts'

it('a file that is named again after it was not is in use again, with the same content', () => {
  using folder = new TemporaryFolder()
  const path = folder.write('keys', publicKeyText(clientA.publicKey))
  const log = new Log('error', { write: () => undefined })
  const sizes: (number | undefined)[] = []
  const file = new KeyListFile({
    log,
    reloads: new Reloads(log, Date.now),
    onList: (list) => sizes.push(list?.size),
  })
  for (const named of [path, undefined, path]) file.setPath(named)
  file.stop()
  expect(sizes).toEqual([1, undefined, 1])
})
