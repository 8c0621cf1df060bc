import { expect, test } from 'vitest'
import { hostInfo } from '#config/host-info.ts'

test.skipIf(process.platform === 'darwin').each([
  [{ HOME: '/home/alice' }, '/home/alice/.cache'],
  [{ HOME: '/home/alice', XDG_CACHE_HOME: '/var/cache/alice' }, '/var/cache/alice'],
  // Go ignores a relative path.
  [{ HOME: '/home/alice', XDG_CACHE_HOME: 'cache' }, '/home/alice/.cache'],
])('with %j, the cache is %s', (env, expected) => {
  expect(hostInfo(env).cacheFolder).toBe(expected)
})

test("has derper's default paths of the mesh key", () => {
  expect(hostInfo({ HOME: '/home/alice' }).meshKeyPaths).toEqual([
    '/home/derp/keys/derp-mesh.key',
    '/home/alice/keys/derp-mesh.key',
  ])
})
