// Addresses of tiles: https://c2sp.org/tlog-tiles. A tile is up to 256 hashes of one level; `entries` holds the leaves themselves.

import { isSize, type Subtree } from './tree-shape.ts'

export const TILE_WIDTH = 256
/** Levels of the tree in one tile. */
const TILE_HEIGHT = 8
const LEVEL_MAX = 63

export interface TilePath {
  level: number | 'entries'
  index: number
  /** 1 to 256; a tile of fewer than 256 is partial. */
  width: number
}

/** `tile/0/x001/234` or `tile/entries/000.p/17`. */
export function encodeTilePath({ level, index, width }: TilePath): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? []
  const place = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/')
  return `tile/${level}/${place}${width < TILE_WIDTH ? `.p/${width}` : ''}`
}

/** The tile at an address; undefined for anything that is not the one spelling of it. */
export function parseTilePath(path: string): TilePath | undefined {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path)
  if (match === null) return undefined
  const [, name = '', place = '', partial] = match
  const level: TilePath['level'] = name === 'entries' ? 'entries' : Number(name)
  const index = Number(place.replaceAll(/[x/]/g, ''))
  const width = partial === undefined ? TILE_WIDTH : Number(partial)
  if (level !== 'entries' && level > LEVEL_MAX) return undefined
  if (!isSize(index) || width < 1 || (partial !== undefined && width >= TILE_WIDTH)) return undefined
  const tile = { level, index, width }
  return encodeTilePath(tile) === path ? tile : undefined
}

/** How many hashes a tree of this size has on a level of tiles. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level)
}

/**
 * The tile of a tree that holds a complete subtree, or the hashes below it that it is made of: `count` hashes from `at` on.
 */
export function tileOf({ level, index }: Subtree, size: number): { tile: TilePath; at: number; count: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT)
  const count = 2 ** (level % TILE_HEIGHT)
  const first = index * count
  const tileIndex = Math.floor(first / TILE_WIDTH)
  const width = Math.min(TILE_WIDTH, hashesAt(tileLevel, size) - tileIndex * TILE_WIDTH)
  return { tile: { level: tileLevel, index: tileIndex, width }, at: first % TILE_WIDTH, count }
}
