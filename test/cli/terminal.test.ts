// Keys of a terminal while the command does something else. What is shown is not looked at.

import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Terminal, type KeyInput } from '#cli/terminal.ts'

class Keyboard extends PassThrough {
  isRaw = false

  setRawMode(isRaw: boolean): this {
    this.isRaw = isRaw
    return this
  }
}

let keyboard: Keyboard
let terminal: Terminal

beforeEach(() => {
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  keyboard = new Keyboard()
  terminal = new Terminal(keyboard as unknown as KeyInput)
})

afterEach(() => {
  terminal.leave()
  expect(keyboard.isRaw).toBe(false)
  vi.restoreAllMocks()
})

it('keeps what is typed while nobody waits for it', async () => {
  keyboard.write('c')
  await new Promise(setImmediate)
  keyboard.write('\u0003')
  await new Promise(setImmediate)
  expect(await terminal.key(60_000)).toBe('c')
  expect(await terminal.key(60_000)).toBe('\u0003')
  expect(await terminal.key(1)).toBeUndefined()
})

it('says at once that a key is pressed that ends the command', async () => {
  const quit = terminal.pressed(new Set(['q']))
  const never = new Promise<'answer'>(() => undefined)
  keyboard.write('c')
  await new Promise(setImmediate)
  keyboard.write('q')
  expect(await Promise.race([never, quit])).toBeUndefined()
})
