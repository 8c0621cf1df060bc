// All subjects of fuzzing.

import type { Subject } from './target.ts'
import { ADMISSION_SUBJECTS } from './targets/admission.ts'
import { ADDRESS_SUBJECTS } from './targets/addresses.ts'
import { FRAME_SUBJECTS } from './targets/frames.ts'
import { HTTP_SUBJECTS } from './targets/http.ts'
import { LIVE_SUBJECTS } from './targets/live.ts'
import { SETTINGS_SUBJECTS } from './targets/settings.ts'

export const SUBJECTS: readonly Subject[] = [
  ...FRAME_SUBJECTS,
  ...HTTP_SUBJECTS,
  ...ADDRESS_SUBJECTS,
  ...SETTINGS_SUBJECTS,
  ...ADMISSION_SUBJECTS,
  ...LIVE_SUBJECTS,
]

export function subjectNamed(name: string): Subject {
  const subject = SUBJECTS.find((one) => one.name === name)
  if (subject === undefined) {
    throw new Error(`${name}: unknown parser; expected one of ${SUBJECTS.map((one) => one.name).join(', ')}`)
  }
  return subject
}
