/** Pictures as a foundation model reads them: its own side, its own number of channels. */

export interface PictureShape {
  readonly height: number
  readonly width: number
  readonly channels: number
}

/**
 * One picture, rows of pixels with their channels together, at another size: bilinear between the centres of pixels, edges
 * repeated. A grey picture gives every channel the same.
 */
export function fitPicture (picture: Float32Array, from: PictureShape, to: PictureShape): Float32Array {
  if (from.height === to.height && from.width === to.width && from.channels === to.channels) return picture
  const [ys, xs] = [places(from.height, to.height), places(from.width, to.width)]
  const out = new Float32Array(to.height * to.width * to.channels)
  let at = 0
  for (const y of ys) {
    for (const x of xs) {
      for (let channel = 0; channel < to.channels; channel++) {
        const pixel = (row: number, column: number): number => picture[(row * from.width + column) * from.channels + channel % from.channels] as number
        const upper = pixel(y.first, x.first) * (1 - x.share) + pixel(y.first, x.second) * x.share
        const lower = pixel(y.second, x.first) * (1 - x.share) + pixel(y.second, x.second) * x.share
        out[at++] = upper * (1 - y.share) + lower * y.share
      }
    }
  }
  return out
}

/** Between which two pixels a pixel of the result lies, and how far from the first. */
function places (from: number, to: number): ReadonlyArray<{ first: number, second: number, share: number }> {
  return Array.from({ length: to }, (_, i) => {
    const centre = Math.max(0, (i + 0.5) * from / to - 0.5)
    const first = Math.min(from - 1, Math.floor(centre))
    return { first, second: Math.min(from - 1, first + 1), share: centre - first }
  })
}
