// What the Dockerfile starts from, made here, since no registry of images is reachable: a base with the files of the same
// Debian packages as the distroless one, and a base to build in, with Node and npm. Both are Debian 12.

import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Containers } from './containers.ts'
import { runOk } from './process.ts'

/** As the image that the Dockerfile names has it. */
const NPM_VERSION = '10.9.9'
/** This machine's, by Debian's name. */
export const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64'

const BASE_PACKAGES = 'base-files ca-certificates libc6 libgcc-s1 libstdc++6'
const USERS = {
  passwd: 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
  group: 'root:x:0:\nnonroot:x:65532:\n',
}

/** Packs the files of installed packages, by their paths after the merger of /lib and /usr/lib, and the list of authorities. */
const PACK_BASE = `set -e
cd "$0"
for name in ${BASE_PACKAGES}; do
  list=var/lib/dpkg/info/$name
  if [ -e "$list:${ARCHITECTURE}.list" ]; then cat "$list:${ARCHITECTURE}.list"; else cat "$list.list"; fi
done | sed -E 's,^/(bin|lib|lib64|sbin)/,/usr/\\1/,; s,^/,,' >"$2"
printf '%s\\n' bin lib lib64 sbin >>"$2"
find etc/ssl/certs >>"$2"
sort -u "$2" | while read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done |
  tar --no-recursion -cf "$1" -T -`

/** The names of images. */
export interface ImageBases {
  /** Nothing of it is run while an image is built, so the files are this machine's in both cases. */
  readonly base: Readonly<Record<'amd64' | 'arm64', string>>
  /** One image under two names: Podman 4.3 passes over `FROM --platform` and wants it for the other architecture. */
  readonly buildBase: Readonly<Record<'amd64' | 'arm64', string>>
}

/** @param archive of the recipe debian-root */
export async function makeBases(containers: Containers, archive: string): Promise<ImageBases> {
  const folder = containers.folder()
  const root = join(folder, 'root')
  mkdirSync(root)
  await runOk('tar', ['-xf', archive, '-C', root, '--exclude=./dev/*'], { timeoutMs: 120_000 })
  const names = {
    base: { amd64: 'localhost/base-amd64', arm64: 'localhost/base-arm64' },
    buildBase: { amd64: 'localhost/build-base-amd64', arm64: 'localhost/build-base-arm64' },
  }
  const base = join(folder, 'base.tar')
  await runOk('sh', ['-c', PACK_BASE, root, base, join(folder, 'list')])
  await addUsers(folder, base)
  await addNode(root)
  const buildBase = join(folder, 'build-base.tar')
  await runOk('tar', ['-cf', buildBase, '-C', root, '.'], { timeoutMs: 120_000 })
  for (const architecture of ['amd64', 'arm64'] as const) {
    await containers.import(base, names.base[architecture], architecture)
    await containers.import(buildBase, names.buildBase[architecture], architecture)
  }
  return names
}

async function addUsers(folder: string, archive: string): Promise<void> {
  mkdirSync(join(folder, 'etc'))
  for (const [name, text] of Object.entries(USERS)) writeFileSync(join(folder, 'etc', name), text)
  const files = Object.keys(USERS).map((name) => `etc/${name}`)
  await runOk('tar', ['-rf', archive, '--owner=0', '--group=0', '-C', folder, ...files])
}

/** This Node, npm, and the authorities that this machine trusts. */
async function addNode(root: string): Promise<void> {
  const local = join(root, 'usr/local')
  copyFileSync(process.execPath, join(local, 'bin/node'))
  const install = ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline']
  await runOk('npm', [...install, '--prefix', join(local, 'lib'), `npm@${NPM_VERSION}`], {
    timeoutMs: 120_000,
  })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'))
  copyFileSync('/etc/ssl/certs/ca-certificates.crt', join(root, 'etc/ssl/certs/ca-certificates.crt'))
  writeFileSync(join(root, 'root/.npmrc'), 'cafile=/etc/ssl/certs/ca-certificates.crt\n')
}
