// Places on the earth and the way between them as the crow flies. Pure arithmetic.

/** Degrees. */
export interface Place {
  readonly latitude: number
  readonly longitude: number
}

const EARTH_RADIUS_KM = 6_371

/** The length of the great circle between two places. */
export function distanceKm(a: Place, b: Place): number {
  const latitudes = radians(b.latitude - a.latitude)
  const longitudes = radians(b.longitude - a.longitude)
  const chord =
    Math.sin(latitudes / 2) ** 2 +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(longitudes / 2) ** 2
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(chord)))
}

/** The place of something that may have none. */
export function placeIn({
  latitude,
  longitude,
}: {
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
}): Place | undefined {
  return latitude === undefined || longitude === undefined ? undefined : { latitude, longitude }
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
