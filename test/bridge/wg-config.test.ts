// What a bridge reads of WireGuard's file, and what it says of one that it cannot use.

import { expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { base64Of, readWgConfig } from '#bridge/wg-config.ts'
import { publicKeyText } from '#protocol/node-key.ts'

const alice = newKeyPair()
const [bob, cathy, other] = [newKeyPair().publicKey, newKeyPair().publicKey, newKeyPair().publicKey]

test('a file of wg-quick with everything that may stand in it', () => {
  const text = `# of alice
[Interface]
PrivateKey = ${base64Of(alice.privateKey)} # secret
Address = 10.0.0.1/24
ListenPort=51820
PostUp = iptables -A FORWARD -i %i -j ACCEPT; echo [Peer]

[peer]
# Name = bob
PublicKey = ${base64Of(bob)}
PresharedKey = ${base64Of(other)}
AllowedIPs = 10.0.0.2/32, fd00::2/128
AllowedIPs = 192.0.2.0/24
Endpoint = vpn.example.com:51820
PersistentKeepalive = 25
[Peer]
#BridgeKey=${publicKeyText(other)}
PublicKey = ${base64Of(cathy)}
#Endpoint = 192.0.2.1:1
`
  expect(readWgConfig('wg0.conf', text)).toEqual({
    config: {
      privateKey: alice.privateKey,
      listenPort: 51_820,
      peers: [
        {
          name: 'bob',
          publicKey: bob,
          bridgeKey: bob,
          endpoint: 'vpn.example.com:51820',
          allowedIps: ['10.0.0.2/32', 'fd00::2/128', '192.0.2.0/24'],
        },
        {
          name: base64Of(cathy).slice(0, 8),
          publicKey: cathy,
          bridgeKey: other,
          endpoint: undefined,
          allowedIps: [],
        },
      ],
    },
  })
})

test('every problem with its line, and no word of what may be a secret', () => {
  const text = `[Interface]
PrivateKey = notakey
ListenPort = 99999
[Peer]
PublicKey = ${base64Of(bob)}
Endpoint = 192.0.2.1
[Peer]
# Name = nobody
`
  const read = readWgConfig('wg0.conf', text)
  expect(read).toMatchObject({
    problems: [
      { where: 'wg0.conf:2' },
      { where: 'wg0.conf:3' },
      { where: 'wg0.conf:6' },
      { where: 'wg0.conf:7', found: 'a [Peer] without PublicKey' },
    ],
  })
  expect(JSON.stringify(read)).not.toContain('notakey')
})

test('a file of another program, and two peers of one name', () => {
  expect(readWgConfig('x', 'remote 192.0.2.1 1194')).toMatchObject({
    problems: [{ found: 'has no [Interface]' }],
  })
  const peer = (key: Uint8Array): string => `[Peer]\n# Name = bob\nPublicKey = ${base64Of(key)}\n`
  expect(readWgConfig('x', `[Interface]\n${peer(bob)}${peer(cathy)}`)).toMatchObject({
    problems: [{ found: 'has two peers "bob"' }],
  })
})
