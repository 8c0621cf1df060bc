// All subjects of fuzzing.

import type { Subject } from './subject.ts'
import { ADMISSION_SUBJECTS } from './subjects/admission.ts'
import { ADDRESS_SUBJECTS } from './subjects/addresses.ts'
import { FRAME_SUBJECTS } from './subjects/frames.ts'
import { HTTP_SUBJECTS } from './subjects/http.ts'
import { LIVE_SUBJECTS } from './subjects/live.ts'
import { SETTINGS_SUBJECTS } from './subjects/settings.ts'

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
