/**
 * The language of the page. English is the source; each locale is a chunk of its own, and only the chosen one is loaded.
 *
 * Choice: `?lang=` → what the person chose before → `navigator.languages` → English.
 */
import { dir, init, t as translate, type TOptions } from 'i18next';
import type en from './locale-en.json';
import { load, save } from '../state/store';

export const LOCALES = ['en', 'fr'] as const;
export type Locale = (typeof LOCALES)[number];

/** Each language's name for itself. */
export const LOCALE_NAMES: Record<Locale, string> = { en: 'English', fr: 'Français' };

/** Path of a text: `chat.title`; plural texts without their suffix. */
export type TextKey = Paths<typeof en>;
type Paths<T, Prefix extends string = ''> = {
  [K in keyof T & string]: T[K] extends string ? `${Prefix}${StripPlural<K>}` : Paths<T[K], `${Prefix}${K}.`>;
}[keyof T & string];
type StripPlural<K extends string> = K extends `${infer Base}_${'one' | 'many' | 'other'}` ? Base : K;

const LOADERS: Record<Locale, () => Promise<{ default: object }>> = {
  en: () => import('./locale-en.json'),
  fr: () => import('./locale-fr.json'),
};

/** Picks the locale from wishes in order; a wish is a language tag like `fr-CA`. */
export function pickLocale(wishes: readonly (string | null | undefined)[]): Locale {
  for (const wish of wishes) {
    const language = wish?.toLowerCase().split('-')[0];
    const found = LOCALES.find((locale) => locale === language);
    if (found) return found;
  }
  return 'en';
}

/** Loads the texts; the page must not render before. */
export async function initLocale(): Promise<Locale> {
  const query = new URLSearchParams(location.search).get('lang');
  const locale = pickLocale([query, load('lang'), ...navigator.languages]);
  const texts = await LOADERS[locale]();
  await init({
    lng: locale,
    fallbackLng: false,
    resources: { [locale]: { translation: texts.default } },
    interpolation: { escapeValue: false }, // Texts become text nodes.
    returnNull: false,
  });
  document.documentElement.lang = locale;
  document.documentElement.dir = dir(locale);
  return locale;
}

/** Remembers the choice and shows the page in it. */
export function chooseLocale(locale: Locale): void {
  save('lang', locale);
  const url = new URL(location.href);
  url.searchParams.delete('lang');
  history.replaceState(null, '', url);
  location.reload();
}

/** The text under `key`. */
export function t(key: TextKey, values?: TOptions): string {
  return translate(key, values ?? {});
}

/** Time of day in the page's language. */
export function timeOfDay(at: number): string {
  return new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short' }).format(at);
}
