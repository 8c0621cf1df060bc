// The functions of OpenSSL that Node is linked with, as native calls, and their constants. Node exports them; nothing is loaded
// beside it. Addresses are numbers: those of a process are below 2^47. Not concerned with who may call what, nor with memory:
// whatever frees is in openssl-memory.ts. Runs on any thread; each loads its own.

import { loadFunctions, type NativeFunction } from './native.ts'

/** The only one whose behaviour is known here. */
const KNOWN_MAJOR = 3
/** Of the number of a version: its major part begins at this bit (OPENSSL_VERSION_NUMBER). */
const MAJOR_AT_BIT = 28

/** `BIO_ctrl` (openssl/bio.h). */
export const BIO_CTRL_RESET = 1
export const BIO_CTRL_PENDING = 10

/** `SSL_CTX_ctrl` (openssl/ssl.h). */
export const SSL_CTRL_MODE = 33
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44
export const SSL_CTRL_CHAIN_CERT = 89
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124
export const SSL_SESS_CACHE_OFF = 0
/** Nothing is added to the certificates that are presented. */
export const SSL_MODE_NO_AUTO_CHAIN = 0x8
/** An idle connection keeps no buffers for records. */
export const SSL_MODE_RELEASE_BUFFERS = 0x10

/** `SSL_get_error`. */
export const SSL_ERROR_WANT_READ = 2
/** `SSL_want`: what the last call waits for. Unlike `SSL_get_error`, it does not look at the queue of errors. */
export const SSL_READING = 3
/** `SSL_get_shutdown`: the remote has ended TLS. */
export const SSL_RECEIVED_SHUTDOWN = 2

/** `SSL_version`. */
export const TLS1_2_VERSION = 0x303
export const TLS1_3_VERSION = 0x304

const DECLARATIONS = {
  versionNumber: 'unsigned long OpenSSL_version_num(void)',
  clearErrors: 'void ERR_clear_error(void)',
  lastError: 'unsigned long ERR_peek_last_error(void)',
  errorText: 'void ERR_error_string_n(unsigned long, void *, size_t)',

  memoryMethod: 'uintptr_t BIO_s_mem(void)',
  newBio: 'uintptr_t BIO_new(uintptr_t)',
  newBioOf: 'uintptr_t BIO_new_mem_buf(void *, int)',
  shareBio: 'int BIO_up_ref(uintptr_t)',
  readBio: 'int BIO_read(uintptr_t, void *, int)',
  writeBio: 'int BIO_write(uintptr_t, void *, int)',
  controlBio: 'long BIO_ctrl(uintptr_t, int, long, uintptr_t)',

  serverMethod: 'uintptr_t TLS_server_method(void)',
  newContext: 'uintptr_t SSL_CTX_new(uintptr_t)',
  controlContext: 'long SSL_CTX_ctrl(uintptr_t, int, long, uintptr_t)',
  setOptions: 'uint64_t SSL_CTX_set_options(uintptr_t, uint64_t)',
  setCiphers: 'int SSL_CTX_set_cipher_list(uintptr_t, void *)',
  setCiphers13: 'int SSL_CTX_set_ciphersuites(uintptr_t, void *)',
  setTickets: 'int SSL_CTX_set_num_tickets(uintptr_t, size_t)',
  useCertificate: 'int SSL_CTX_use_certificate(uintptr_t, uintptr_t)',
  useKey: 'int SSL_CTX_use_PrivateKey(uintptr_t, uintptr_t)',
  checkKey: 'int SSL_CTX_check_private_key(uintptr_t)',
  readCertificate: 'uintptr_t PEM_read_bio_X509(uintptr_t, uintptr_t, uintptr_t, uintptr_t)',
  readKey: 'uintptr_t PEM_read_bio_PrivateKey(uintptr_t, uintptr_t, uintptr_t, void *)',

  newTls: 'uintptr_t SSL_new(uintptr_t)',
  setBios: 'void SSL_set_bio(uintptr_t, uintptr_t, uintptr_t)',
  acceptState: 'void SSL_set_accept_state(uintptr_t)',
  handshake: 'int SSL_do_handshake(uintptr_t)',
  read: 'int SSL_read(uintptr_t, uintptr_t, int)',
  write: 'int SSL_write(uintptr_t, void *, int)',
  shutdown: 'int SSL_shutdown(uintptr_t)',
  errorOf: 'int SSL_get_error(uintptr_t, int)',
  want: 'int SSL_want(uintptr_t)',
  shutdownState: 'int SSL_get_shutdown(uintptr_t)',
  version: 'int SSL_version(uintptr_t)',

  freeBio: 'int BIO_free(uintptr_t)',
  freeCertificate: 'void X509_free(uintptr_t)',
  freeKey: 'void EVP_PKEY_free(uintptr_t)',
  freeContext: 'void SSL_CTX_free(uintptr_t)',
  freeTls: 'void SSL_free(uintptr_t)',
} as const

export type Openssl = Readonly<Record<keyof typeof DECLARATIONS, NativeFunction>>

/** @throws Error if koffi does not load, a function is missing, or they are of another version than that of Node or this file */
export async function loadOpenssl(): Promise<Openssl> {
  const openssl = await loadFunctions(DECLARATIONS)
  const number = openssl.versionNumber()
  const expected = process.versions.openssl ?? ''
  const [major, minor, patch] = expected.split(/[^\d]/).map(Number)
  const found = [number >>> MAJOR_AT_BIT, (number >>> 20) & 0xff, (number >>> 4) & 0xffff]
  if (found[0] !== KNOWN_MAJOR) throw new Error(`OpenSSL ${found.join('.')} is not known; ${KNOWN_MAJOR} is`)
  if (found[0] !== major || found[1] !== minor || found[2] !== patch)
    throw new Error(`the functions found are of OpenSSL ${found.join('.')}, and Node's is ${expected}`)
  return openssl
}
