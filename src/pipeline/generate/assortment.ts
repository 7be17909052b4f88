import type { Language } from './geography.js';

/** One category of the catalogue: what is in it, what it costs, and what people type to find it. */
export interface Category {
  readonly slug: string;
  readonly medianPrice: number;
  readonly nouns: readonly string[];
  readonly terms: Readonly<Record<Language, readonly string[]>>;
}

/** Median prices in the shop's currency, before the profile's price level. */
export const CATEGORIES: readonly Category[] = [
  category('electronics.audio', 62, ['Headphones', 'Earbuds', 'Speaker', 'Soundbar'], {
    en: ['wireless headphones', 'bluetooth speaker'],
    de: ['kopfhörer kabellos', 'bluetooth lautsprecher'],
    fr: ['écouteurs sans fil', 'enceinte bluetooth'],
    es: ['auriculares inalámbricos'],
    pl: ['słuchawki bezprzewodowe'],
    el: ['ακουστικά'],
  }),
  category('electronics.smartphone', 190, ['Smartphone', 'Phone'], {
    en: ['smartphone 5g', 'phone 128gb'],
    de: ['handy ohne vertrag', 'smartphone günstig'],
    fr: ['téléphone portable', 'smartphone 5g'],
    es: ['teléfono móvil'],
    pl: ['telefon komórkowy'],
    el: ['κινητό τηλέφωνο'],
  }),
  category('electronics.computer', 150, ['Laptop', 'Monitor', 'Keyboard', 'Mouse', 'Tablet'], {
    en: ['laptop 16"', 'mechanical keyboard'],
    de: ['laptop für büro', 'monitor 27 zoll'],
    fr: ['ordinateur portable', 'clavier mécanique'],
    es: ['portátil barato', 'ratón inalámbrico'],
    pl: ['laptop do gier'],
    el: ['φορητός υπολογιστής'],
  }),
  category('electronics.accessory', 16, ['Charger', 'Cable', 'Case', 'Power Bank'], {
    en: ['usb-c charger', 'phone case'],
    de: ['ladegerät usb-c', 'handyhülle'],
    fr: ['chargeur rapide', 'coque'],
    es: ['cargador rápido'],
    pl: ['ładowarka'],
    el: ['φορτιστής'],
  }),
  category('apparel.shoes', 52, ['Sneakers', 'Boots', 'Sandals', 'Loafers'], {
    en: ['running shoes', 'white sneakers', 'boots 43'],
    de: ['laufschuhe größe 42', 'winterstiefel'],
    fr: ['chaussures de course', 'bottes été'],
    es: ['zapatillas', 'botas niña'],
    pl: ['buty do biegania'],
    el: ['παπούτσια'],
  }),
  category('apparel.women', 29, ['Dress', 'Blouse', 'Skirt', 'Jacket', 'Jeans'], {
    en: ['summer dress', 'jeans, high waist'],
    de: ['kleid grün', 'übergangsjacke damen'],
    fr: ['robe d’été', 'jupe plissée'],
    es: ['vestido de niña', 'falda larga'],
    pl: ['sukienka'],
    el: ['φόρεμα'],
  }),
  category('apparel.men', 30, ['Shirt', 'Trousers', 'Hoodie', 'Coat'], {
    en: ['linen shirt', 'hoodie black'],
    de: ['hemd bügelfrei', 'jacke herren'],
    fr: ['chemise homme', 'veste légère'],
    es: ['camisa', 'chaqueta'],
    pl: ['koszula męska'],
    el: ['πουκάμισο'],
  }),
  category('apparel.kids', 18, ['Pyjamas', 'T-Shirt', 'Rain Jacket'], {
    en: ['kids rain jacket'],
    de: ['kinder gummistiefel', 'schlafanzug mädchen'],
    fr: ['pyjama bébé', 'manteau garçon'],
    es: ['pijama niño'],
    pl: ['kurtka dziecięca'],
    el: ['παιδικά ρούχα'],
  }),
  category('home.kitchen', 24, ['Pan', 'Knife Set', 'Kettle', 'Coffee Maker', 'Mug'], {
    en: ['cast iron pan', 'french press'],
    de: ['pfanne beschichtet', 'küchenmesser'],
    fr: ['poêle', 'cafetière à piston'],
    es: ['sartén antiadherente', 'cafetera'],
    pl: ['garnki', 'nóż kuchenny'],
    el: ['καφετιέρα'],
  }),
  category('home.furniture', 110, ['Chair', 'Table', 'Shelf', 'Sofa', 'Desk'], {
    en: ['desk chair', 'tv stand 140 cm'],
    de: ['bürostuhl', 'couchtisch eiche'],
    fr: ['étagère murale', 'canapé d’angle'],
    es: ['silla de escritorio'],
    pl: ['krzesło biurowe', 'łóżko'],
    el: ['καρέκλα γραφείου'],
  }),
  category('home.bedding', 33, ['Duvet', 'Pillow', 'Bed Linen', 'Blanket'], {
    en: ['duvet 200x200'],
    de: ['bettwäsche 135x200', 'daunendecke'],
    fr: ['housse de couette', 'oreiller mémoire de forme'],
    es: ['almohada', 'sábanas'],
    pl: ['pościel', 'kołdra'],
    el: ['σεντόνια'],
  }),
  category('home.lighting', 27, ['Lamp', 'LED Strip', 'Lantern'], {
    en: ['desk lamp', 'led strip 5m'],
    de: ['stehlampe', 'glühbirne e27'],
    fr: ['lampe de chevet', 'ampoule led'],
    es: ['lámpara de pie'],
    pl: ['lampa stojąca'],
    el: ['φωτιστικό'],
  }),
  category('beauty.skincare', 15, ['Cream', 'Serum', 'Cleanser', 'Sunscreen'], {
    en: ['vitamin c serum', 'spf 50'],
    de: ['gesichtscreme', 'sonnencreme für kinder'],
    fr: ['crème hydratante', 'sérum visage'],
    es: ['crema facial', 'protector solar'],
    pl: ['krem do twarzy'],
    el: ['κρέμα προσώπου'],
  }),
  category('beauty.makeup', 12, ['Lipstick', 'Mascara', 'Foundation', 'Nail Polish'], {
    en: ['red lipstick', 'mascara waterproof'],
    de: ['lippenstift', 'nagellack weiß'],
    fr: ['rouge à lèvres', 'vernis à ongles'],
    es: ['pintalabios', 'esmalte de uñas'],
    pl: ['szminka', 'tusz do rzęs'],
    el: ['κραγιόν'],
  }),
  category('beauty.hair', 14, ['Shampoo', 'Conditioner', 'Hair Dryer', 'Brush'], {
    en: ['hair dryer', 'shampoo & conditioner'],
    de: ['föhn', 'haarbürste'],
    fr: ['sèche-cheveux', 'shampoing sec'],
    es: ['champú', 'secador de pelo'],
    pl: ['szampon', 'suszarka do włosów'],
    el: ['σαμπουάν'],
  }),
  category('sports.fitness', 26, ['Yoga Mat', 'Dumbbells', 'Resistance Band', 'Bottle'], {
    en: ['yoga mat', 'dumbbells 10 kg'],
    de: ['hanteln', 'yogamatte rutschfest'],
    fr: ['tapis de yoga', 'haltères'],
    es: ['esterilla', 'mancuernas 5 kg'],
    pl: ['mata do ćwiczeń'],
    el: ['στρώμα γυμναστικής'],
  }),
  category('sports.outdoor', 48, ['Tent', 'Backpack', 'Sleeping Bag', 'Trekking Poles'], {
    en: ['2 person tent', 'hiking backpack'],
    de: ['wanderrucksack', 'schlafsack -10 °C'],
    fr: ['sac à dos randonnée', 'tente 2 places'],
    es: ['mochila de montaña'],
    pl: ['plecak turystyczny', 'śpiwór'],
    el: ['σκηνή'],
  }),
  category('toys.games', 21, ['Puzzle', 'Board Game', 'Building Set', 'Plush Bear'], {
    en: ['board game', 'puzzle 1000'],
    de: ['gesellschaftsspiel', 'plüschbär'],
    fr: ['jeu de société', 'peluche'],
    es: ['juego de mesa', 'muñeca'],
    pl: ['klocki', 'gra planszowa'],
    el: ['επιτραπέζιο παιχνίδι'],
  }),
  category('garden.tools', 34, ['Hedge Trimmer', 'Spade', 'Hose', 'Grill'], {
    en: ['garden hose 20 m', 'gas grill'],
    de: ['gartenschlauch', 'heckenschere akku'],
    fr: ['tondeuse à gazon', 'sécateur'],
    es: ['manguera', 'barbacoa'],
    pl: ['wąż ogrodowy'],
    el: ['λάστιχο κήπου'],
  }),
  category('media.books', 13, ['Novel', 'Cookbook', 'Atlas', 'Calendar'], {
    en: ['crime novel', 'café cookbook'],
    de: ['kochbuch für anfänger', 'kalender 2027'],
    fr: ['roman policier', 'livre d’été'],
    es: ['novela histórica', 'español para niños'],
    pl: ['książka kucharska'],
    el: ['μυθιστόρημα'],
  }),
];

function category(slug: string, medianPrice: number, nouns: readonly string[], terms: Category['terms']): Category {
  return { slug, medianPrice, nouns, terms };
}
