// The relay's claim on its state folder: creates it, and keeps two relays from using one. The file relay.json in it
// records whose it is. A folder that cannot be used is no reason not to serve; a folder of another relay is, because the
// two would overwrite each other's files. Two processes with one key are runs of one relay and share the folder. Runs on
// the control thread, once at the start, before anything listens.

import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { reasonOf } from '#fleet/problem.ts'
import { publicKeyText } from '#protocol/node-key.ts'

const OWNER_FILE = 'relay.json'
/**
 * Of all files in the folder. A later version may add fields and files without a new number. A new number keeps this version
 * out, so a version that writes it must come after one that reads it: else there is no way back from it.
 */
const OWNER_FORMAT = 1
/** The file has one line of about a hundred bytes. */
const OWNER_BYTES_MAX = 4_096
const ROOT_UID = 0
const OTHERS_WRITE = 0o002

/** The folder is the relay's from now on, or it cannot be used and the relay serves without one. */
export type StateClaim = { readonly path: string } | { readonly path: string; readonly unusable: string }

/** The folder was written to by a version whose files this one can't read. */
class NewerFormat extends Error {}

/** @throws Error if the folder belongs to another relay, or has files of a later format; then nothing is changed there */
export function claimStateFolder(path: string, publicKey: Uint8Array): StateClaim {
  const unusable = unusableReason(path)
  if (unusable !== undefined) return { path, unusable }
  const key = publicKeyText(publicKey)
  let owner: string | undefined
  try {
    owner = readOwner(path) ?? recordOwner(path, key)
  } catch (error) {
    if (error instanceof NewerFormat) throw error
    return { path, unusable: `${OWNER_FILE} ${reasonOf(error)}` }
  }
  if (owner === key) return { path }
  throw new Error(
    `-state-dir ${path} belongs to the relay with the key ${owner}, and this relay has the key ${key}; ` +
      `give each relay a folder of its own, or remove ${OWNER_FILE} there if that relay is no more`,
  )
}

/** Creates the folder if it does not exist. Undefined if the relay may keep its files there. */
function unusableReason(path: string): string | undefined {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const link = lstatSync(path)
    // Another user could let the link lead elsewhere at any time.
    if (link.isSymbolicLink() && !isTrusted(link.uid)) return `is a link of the user ${link.uid}`
    const folder = statSync(path)
    if (!folder.isDirectory()) return 'is not a folder'
    if (!isTrusted(folder.uid)) return `belongs to the user ${folder.uid}`
    if ((folder.mode & OTHERS_WRITE) !== 0) {
      return 'may be written to by every user; name a folder inside it, which the relay creates'
    }
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

/** Root may change every file anyway. */
function isTrusted(uid: number): boolean {
  return uid === ROOT_UID || uid === process.getuid?.()
}

/**
 * The key of the relay whose folder this is; undefined if it is nobody's so far.
 * @throws NewerFormat
 * @throws Error for a file that cannot be read, or has no key
 */
function readOwner(path: string): string | undefined {
  const text = readOwnerFile(join(path, OWNER_FILE))
  if (text === undefined) return undefined
  const { format, key } = ownerIn(text)
  if (format > OWNER_FORMAT) {
    throw new NewerFormat(
      `-state-dir ${path}: ${OWNER_FILE} has format ${format}, expected ${OWNER_FORMAT}: a later version has written it; ` +
        `start that version, or choose another folder`,
    )
  }
  if (key === undefined) throw new Error('names no relay; remove it if this folder is no longer needed')
  return key
}

function readOwnerFile(path: string): string | undefined {
  let descriptor: number
  try {
    // A link or a pipe in its place is not what a relay has written.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    if (!fstatSync(descriptor).isFile()) throw new Error('is not a file')
    const bytes = Buffer.alloc(OWNER_BYTES_MAX)
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(descriptor)
  }
}

/** A file of no format is one of the first. The key is undefined if there is none. */
function ownerIn(text: string): { readonly format: number; readonly key: string | undefined } {
  try {
    const content: unknown = JSON.parse(text)
    if (typeof content !== 'object' || content === null) return { format: OWNER_FORMAT, key: undefined }
    const key = 'key' in content ? content.key : undefined
    const format =
      'format' in content && Number.isSafeInteger(content.format) ? Number(content.format) : OWNER_FORMAT
    const isKey = typeof key === 'string' && /^nodekey:[\da-f]{64}$/.test(key)
    return { format, key: isKey ? key : undefined }
  } catch {
    return { format: OWNER_FORMAT, key: undefined }
  }
}

/** Enters this relay as the owner. Returns the owner: another relay may be entered at the same moment. */
function recordOwner(path: string, key: string): string | undefined {
  const complete = join(path, `.${OWNER_FILE}-${randomBytes(4).toString('hex')}`)
  const content = `${JSON.stringify({ format: OWNER_FORMAT, key })}\n`
  try {
    writeFileSync(complete, content, { mode: 0o600, flag: 'wx', flush: true })
    // Of two relays only one succeeds, and neither ever sees half a file.
    linkSync(complete, join(path, OWNER_FILE))
    return key
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return readOwner(path)
    throw error
  } finally {
    rmSync(complete, { force: true })
  }
}
