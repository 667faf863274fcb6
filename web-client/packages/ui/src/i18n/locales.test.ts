import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pickLocale } from './index';
import en from './locale-en.json';
import fr from './locale-fr.json';

/** Paths and texts of a catalogue. */
function flatten(tree: object, prefix = ''): Map<string, string> {
  const out = new Map<string, string>();
  for (const [key, value] of Object.entries(tree) as [string, string | object][]) {
    if (typeof value === 'string') out.set(prefix + key, value);
    else for (const [path, text] of flatten(value, `${prefix}${key}.`)) out.set(path, text);
  }
  return out;
}

const english = flatten(en);
const french = flatten(fr);
const placeholders = (text: string): string[] => Array.from(text.matchAll(/\{\{(\w+)\}\}/g), (match) => match[1] ?? '').sort();

describe('catalogues', () => {
  it('have the same keys', () => {
    // French has one more plural form (for millions), which English has no use for.
    const keys = (texts: ReadonlyMap<string, string>): string[] => [...texts.keys()].filter((key) => !key.endsWith('_many')).sort();
    expect(keys(french)).toEqual(keys(english));
  });

  it('have every plural form of their language', () => {
    for (const [texts, language] of [[english, 'en'], [french, 'fr']] as const) {
      const forms = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
      const plural = [...texts.keys()].filter((key) => key.endsWith('_other')).map((key) => key.slice(0, -'_other'.length));
      expect(plural.length).toBeGreaterThan(0);
      for (const key of plural) for (const form of forms) expect(texts.has(`${key}_${form}`), `${language}: ${key}_${form}`).toBe(true);
    }
  });

  it('have the same placeholders', () => {
    for (const [key, text] of english) expect(placeholders(french.get(key) ?? ''), key).toEqual(placeholders(text));
  });

  it('have no empty text, and no straight apostrophe in French', () => {
    for (const [key, text] of [...english, ...french]) expect(text.trim(), key).not.toBe('');
    for (const [key, text] of french) expect(text, key).not.toContain("'");
  });

  it('put a narrow no-break space before high punctuation in French', () => {
    for (const [key, text] of french) {
      const plain = text.replaceAll(/https?:\/\//g, '').replaceAll(/\{\{\w+\}\}/g, 'x');
      expect(plain, key).not.toMatch(/[^\u202f][:;!?]/);
    }
  });

  it('contain what the pages ask for, and nothing else', () => {
    const sources = sourcesBelow(join(import.meta.dirname, '..'));
    const base = (key: string): string => key.replace(/_(one|many|other)$/, '');
    // Failures are asked for by code: `failure.${code}.title`.
    const unused = [...english.keys()].map(base).filter((key) => !/^failure\.[\w-]+\.(title|step)$/.test(key) && !sources.includes(`'${key}'`));
    expect(unused).toEqual([]);
  });
});

function sourcesBelow(dir: string): string {
  return readdirSync(dir)
    .map((name) => join(dir, name))
    .map((path) => {
      if (statSync(path).isDirectory()) return sourcesBelow(path);
      return /\.tsx?$/.test(path) && !path.includes('.test.') ? readFileSync(path, 'utf8') : '';
    })
    .join('\n');
}

describe('choice of the language', () => {
  it('takes the first wish that exists', () => {
    expect(pickLocale([null, undefined, 'de', 'fr-CA', 'en'])).toBe('fr');
    expect(pickLocale(['EN-us', 'fr'])).toBe('en');
    expect(pickLocale(['wo', ''])).toBe('en');
  });
});
