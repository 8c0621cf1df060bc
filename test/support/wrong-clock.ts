// Preloaded into a process: its clock is ten minutes ahead of the true one, in all its threads.

const AHEAD_MS = 600_000
const trueNow = Date.now.bind(Date)

Date.now = () => trueNow() + AHEAD_MS
