import { expect, test } from 'vitest'
import { readEnvironment, type Environment } from '#config/environment.ts'
import { OPTIONS } from '#config/options.ts'

function textsOf(env: Environment): Record<string, string> {
  return Object.fromEntries([...readEnvironment(OPTIONS, env).values].map(([word, { text }]) => [word, text]))
}

test("reads the common derper image's variables; an empty one counts as not set", () => {
  const image = {
    DERP_DOMAIN: 'derp.example.com',
    DERP_CERT_DIR: '/app/certs',
    DERP_CERT_MODE: 'manual',
    DERP_ADDR: ':443',
    DERP_STUN: 'true',
    DERP_STUN_PORT: '3478',
    DERP_HTTP_PORT: '80',
    DERP_VERIFY_CLIENTS: 'false',
    DERP_VERIFY_CLIENT_URL: '',
  }
  expect(textsOf(image)).toEqual({
    hostname: 'derp.example.com',
    certdir: '/app/certs',
    certmode: 'manual',
    listen: ':443',
    stun: 'true',
    'stun-port': '3478',
    'http-port': '80',
    'verify-clients': 'false',
  })
})

test("prefers the relay's own variables, and names the one that it read", () => {
  const { values } = readEnvironment(OPTIONS, { DERP_ADDR: ':1', DERPFLEET_LISTEN: ':2', DERP_DOMAIN: 'a' })
  expect(values.get('listen')).toEqual({ text: ':2', source: 'env', where: 'DERPFLEET_LISTEN' })
  expect(values.get('hostname')?.where).toBe('DERP_DOMAIN')
})

test("reads derper's queue depth, and secrets with their files", () => {
  expect(
    textsOf({
      TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH: '64',
      DERPFLEET_KEY_FILE: '/run/key',
      DERPFLEET_MESH_PSK: 'ab',
      DERPFLEET_MESH_PSK_FILE: '/run/psk',
    }),
  ).toEqual({ 'outbox-packets': '64', 'key-file': '/run/key', 'mesh-psk': 'ab', 'mesh-psk-file': '/run/psk' })
})

test("ignores Kubernetes' variables for services", () => {
  const env = {
    DERPFLEET_SERVICE_HOST: '10.0.0.1',
    DERPFLEET_SERVICE_PORT_HTTPS: '443',
    DERPFLEET_PORT: 'tcp://10.0.0.1:443',
    DERPFLEET_PORT_443_TCP_PROTO: 'tcp',
    DERPFLEET_STUN_PORT: 'udp://10.0.0.2:3478',
    DERP_HTTP_PORT: 'tcp://10.0.0.3:80',
  }
  expect(readEnvironment(OPTIONS, env)).toEqual({ values: new Map(), warnings: [] })
})

test("warns of unknown variables with its own prefix and of derper's variables without effect", () => {
  const env = { DERPFLEET_HOSTNAM: 'x', DERPFLEET_QUICK_START: '1', TS_DEBUG_KEY_PATH: '/k', OTHER: 'y' }
  expect(readEnvironment(OPTIONS, env).warnings).toEqual([
    'DERPFLEET_HOSTNAM: unknown variable; did you mean DERPFLEET_HOSTNAME?',
    'DERPFLEET_QUICK_START: unknown variable',
    'TS_DEBUG_KEY_PATH: has no effect here; the pages are on -admin, not on the DERP port',
  ])
})
