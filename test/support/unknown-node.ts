// Loaded into every thread of a program under test (`node --import`): Node says that it is of a line that nobody knows yet.

const versions = { ...process.versions, node: '99.1.0' }
Object.defineProperty(process, 'versions', { value: versions })
