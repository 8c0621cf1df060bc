// Records the frames and the end of a raw connection, for tests of the connection itself.

import type { ConnectionEnd } from '#client/connect-error.ts'
import { DerpConnection } from '#client/derp-connection.ts'
import type { TargetOptions } from '#client/target.ts'
import { frame } from '#protocol/handshake.ts'
import type { FrameType } from '#protocol/frame-type.ts'

/** The recorder's greeting with fast start. */
export const greeting = Buffer.from('the first frames')

/** A frame of any type. */
export function text(type: number, payload: string): Uint8Array {
  return frame(type as FrameType, Buffer.from(payload))
}

/** Frames are recorded as `<type>:<payload>`. */
export class FrameRecorder {
  readonly frames: string[] = []
  readonly connection: DerpConnection
  readonly #ended = Promise.withResolvers<ConnectionEnd>()
  readonly ended = this.#ended.promise
  onFrame: () => unknown = () => undefined

  constructor(options: TargetOptions) {
    this.connection = new DerpConnection(options, {
      onFrame: (type, buffer, start, end) => {
        this.frames.push(`${type}:${buffer.toString('latin1', start, end)}`)
        this.onFrame()
      },
      onClosed: (end) => this.#ended.resolve(end),
      greet: () => greeting,
    })
  }

  static async open(options: TargetOptions): Promise<FrameRecorder> {
    const recorder = new FrameRecorder(options)
    await recorder.connection.open()
    return recorder
  }

  /** Resolves when this many frames have been received. */
  received(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.onFrame = () => (this.frames.length >= count ? resolve() : undefined)
      this.onFrame()
    })
  }
}
