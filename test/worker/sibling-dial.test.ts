import { expect, it } from 'vitest'
import { siblingDialler } from '#worker/sibling-dial.ts'

it.each([
  ['an invalid port', { port: 0 }, /port/],
  ['an empty host', { host: '' }, /host/],
  ['a host with a line break', { host: 'derp.lab\r\nx' }, /host/],
])(
  'an address with %s is reported as a failed dial, after the dialler has returned',
  async (_what, wrong, why) => {
    const address = {
      name: 'derp.lab',
      host: 'derp.lab',
      port: 443,
      dialHost: '127.0.0.1',
      certName: undefined,
      isInside: true,
      isWatched: true,
      nodes: [],
    }
    const ended: string[] = []
    const over = Promise.withResolvers<void>()
    const connection = siblingDialler({ ca: [], isPlain: false })(
      { ...address, ...wrong },
      {
        greet: () => undefined,
        onFrame: () => undefined,
        written: () => undefined,
        onClosed: (text) => {
          ended.push(text)
          over.resolve()
        },
      },
    )
    expect(ended).toEqual([])
    connection.destroy()
    await over.promise
    expect(ended).toEqual([expect.stringMatching(why)])
  },
)
