// The script of the status page, as text for browsers: it receives the page's parts as they change, stops while the tab is hidden
// or the reader has paused, and copies the map. The page is complete without it. Its policy permits this text by its hash.

/** Long enough for a relay that restarts, and for one that has no room for more streams. */
const RETRY_MS = 10_000

export const STATUS_SCRIPT = `(() => {
const byId = (id) => document.getElementById(id)
const live = byId('live'), pause = byId('pause'), copy = byId('copy')
let source, timer, paused = false
const say = (text) => { live.textContent = text }
const close = () => { clearTimeout(timer); source?.close(); source = undefined }
const open = () => {
  close()
  if (paused || document.hidden) return
  source = new EventSource('status/events')
  source.onopen = () => say('live')
  source.onmessage = ({ data }) => show(JSON.parse(data))
  source.onerror = () => {
    say('not connected; these numbers are old')
    close()
    timer = setTimeout(open, ${RETRY_MS})
  }
}
const isRead = (part) => {
  const chosen = getSelection()
  return chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode)
}
const show = ({ title, parts }) => {
  document.title = title
  for (const [id, text] of Object.entries(parts)) {
    const part = byId(id)
    if (part && !isRead(part)) part.innerHTML = text
  }
}
pause.hidden = false
pause.onclick = () => {
  paused = !paused
  pause.textContent = paused ? 'Resume' : 'Pause'
  if (paused) say('paused')
  open()
}
if (copy && navigator.clipboard) {
  copy.hidden = false
  copy.onclick = async () => {
    await navigator.clipboard.writeText(byId('paste').textContent)
    byId('copied').textContent = 'Copied'
  }
}
document.addEventListener('visibilitychange', open)
addEventListener('pagehide', close)
open()
})()`
