// Loaded into every thread of a program under test (`node --import`): Node names another OpenSSL than the one whose functions are found.

const versions = { ...process.versions, openssl: '3.99.1' }
Object.defineProperty(process, 'versions', { value: versions })
