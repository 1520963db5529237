/**
 * Average-linkage clustering (UPGMA, Sokal and Michener 1958): the two clusters with the least mean distance between their
 * points become one, until one is left. A tree is the list of its merges, lowest first, in scipy's convention: with n points
 * 0 .. n-1 are the points themselves and n + i is what merge i made.
 */
import { InvalidParametersError } from '../errors.ts'
import { agnes } from 'ml-hclust'

export type DistanceName = 'euclidean' | 'cosine'

/** A vector in pieces; one that a point lacks is no part of a distance to it. */
export type Point = ReadonlyArray<ArrayLike<number> | undefined>

export interface Merge {
  /** Of the two that became one, the lower number first. */
  readonly members: readonly [number, number]
  /** Mean distance between their points. */
  readonly height: number
  /** Points below. */
  readonly size: number
}

type Cluster = ReturnType<typeof agnes>

export const DISTANCES: readonly DistanceName[] = ['euclidean', 'cosine']

/** |a - b|, or 1 - cos(a, b), over the pieces that both have; a vector of zeros points nowhere and has cosine 0 with all. */
export function distance (a: Point, b: Point, name: DistanceName): number {
  let [square, dot, squareA, squareB] = [0, 0, 0, 0]
  a.forEach((piece, p) => {
    const other = b[p]
    if (piece === undefined || other === undefined) return
    for (let i = 0; i < piece.length; i++) {
      const [x, y] = [piece[i] as number, other[i] as number]
      square += (x - y) ** 2
      dot += x * y
      squareA += x * x
      squareB += y * y
    }
  })
  if (name === 'euclidean') return Math.sqrt(square)
  return squareA === 0 || squareB === 0 ? 1 : 1 - Math.min(1, Math.max(-1, dot / Math.sqrt(squareA * squareB)))
}

export function distancesOf (points: readonly Point[], name: DistanceName): number[][] {
  const rows = points.map(() => new Array<number>(points.length).fill(0))
  points.forEach((a, i) => {
    points.slice(0, i).forEach((b, j) => { (rows[i] as number[])[j] = (rows[j] as number[])[i] = distance(a, b, name) })
  })
  return rows
}

/**
 * @param distances - symmetric, zeros on the diagonal
 * @throws {InvalidParametersError} one of them is not finite
 */
export function averageLinkage (distances: readonly number[][]): Merge[] {
  if (!distances.every(row => row.every(Number.isFinite))) throw new InvalidParametersError('linkage: a distance is not finite')
  if (distances.length < 2) return []
  const root = agnes([...distances], { method: 'average', isDistanceMatrix: true })
  const inner: Cluster[] = []
  // What comes last here lies highest, and a cluster is always before what it is made of: reversed, sorting keeps that among equals.
  root.traverse(cluster => { if (!cluster.isLeaf) inner.push(cluster) })
  const lowestFirst = inner.reverse().map(cluster => ({ cluster, height: heightOf(cluster) })).sort((a, b) => a.height - b.height)
  const numbers = new Map(lowestFirst.map(({ cluster }, i) => [cluster, distances.length + i]))
  return lowestFirst.map(({ cluster: { children, size }, height }) => {
    const [a, b] = children.map(child => child.isLeaf ? child.index : numbers.get(child)) as [number, number]
    return { members: a < b ? [a, b] : [b, a], height, size }
  })
}

/** Rounding must not put a cluster below what it is made of. */
function heightOf ({ height, children }: Cluster): number {
  return Math.max(height, ...children.filter(({ isLeaf }) => !isLeaf).map(heightOf))
}

/** Points below `node`, in order. */
export function leavesOf (merges: readonly Merge[], node: number): number[] {
  const points = merges.length + 1
  const found: number[] = []
  const open = [node]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next < points) found.push(next)
    else open.push(...(merges[next - points] as Merge).members)
  }
  return found.sort((a, b) => a - b)
}

/** Groups of points that merges up to `height` joined, each in order, by their first points. */
export function cutAt (merges: readonly Merge[], height: number): number[][] {
  const points = merges.length + 1
  const kept = merges.flatMap((merge, i) => merge.height <= height ? [points + i] : [])
  const within = new Set(kept.flatMap(node => (merges[node - points] as Merge).members))
  const tops = [...Array.from({ length: points }, (_, i) => i), ...kept].filter(node => !within.has(node))
  return tops.map(node => leavesOf(merges, node)).sort(([a], [b]) => (a as number) - (b as number))
}
