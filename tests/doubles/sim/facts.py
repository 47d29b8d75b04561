"""What the documents of the demo say: facts about animals, cities and devices, and the life of a small office."""

from typing import NamedTuple

LANGUAGES = ("en", "de", "fr", "es")


class Animal(NamedTuple):
    names: tuple[str, str, str, str]
    """In the order of the languages."""
    kilograms: float
    metres: float
    years: int
    diet: str
    region: str


class City(NamedTuple):
    language: str
    name: str
    country: str
    water: str
    inhabitants: int
    sight: str


class Device(NamedTuple):
    names: tuple[str, str]
    """In English and in German."""
    faults: tuple[tuple[str, str], ...]


ANIMALS = (
    Animal(("Blue whale", "Blauwal", "Baleine bleue", "Ballena azul"), 150_000, 27, 85, "krill", "ocean"),
    Animal(("Sperm whale", "Pottwal", "Cachalot", "Cachalote"), 45_000, 16, 70, "squid", "ocean"),
    Animal(("Humpback whale", "Buckelwal", "Baleine à bosse", "Ballena jorobada"), 30_000, 15, 80, "krill", "ocean"),
    Animal(
        ("African elephant", "Afrikanischer Elefant", "Éléphant", "Elefante africano"), 6_000, 7, 65, "plants", "africa"
    ),
    Animal(("Giraffe", "Giraffe", "Girafe", "Jirafa"), 1_200, 5, 25, "leaves", "africa"),
    Animal(("Hippopotamus", "Flusspferd", "Hippopotame", "Hipopótamo"), 1_500, 4, 40, "grass", "africa"),
    Animal(("Lion", "Löwe", "Lion", "León"), 190, 2, 14, "meat", "africa"),
    Animal(("Cheetah", "Gepard", "Guépard", "Guepardo"), 50, 1.3, 12, "meat", "africa"),
    Animal(
        ("Emperor penguin", "Kaiserpinguin", "Manchot empereur", "Pingüino emperador"), 30, 1.2, 20, "fish", "south"
    ),
    Animal(("Leopard seal", "Seeleopard", "Léopard de mer", "Foca leopardo"), 400, 3, 26, "meat", "south"),
    Animal(("Polar bear", "Eisbär", "Ours polaire", "Oso polar"), 450, 2.5, 25, "meat", "north"),
    Animal(("Walrus", "Walross", "Morse", "Morsa"), 1_000, 3.2, 35, "mussels", "north"),
    Animal(("Reindeer", "Rentier", "Renne", "Reno"), 150, 2, 15, "lichen", "north"),
    Animal(("Brown bear", "Braunbär", "Ours brun", "Oso pardo"), 300, 2, 25, "berries", "forest"),
    Animal(("Red deer", "Rothirsch", "Cerf élaphe", "Ciervo común"), 200, 2.1, 16, "grass", "forest"),
    Animal(("Wild boar", "Wildschwein", "Sanglier", "Jabalí"), 100, 1.5, 10, "roots", "forest"),
    Animal(("Eurasian lynx", "Luchs", "Lynx boréal", "Lince boreal"), 22, 1.1, 14, "meat", "forest"),
    Animal(("Otter", "Fischotter", "Loutre", "Nutria"), 9, 1.1, 10, "fish", "rivers"),
    Animal(("Beaver", "Biber", "Castor", "Castor"), 25, 1.3, 12, "bark", "rivers"),
    Animal(("Atlantic salmon", "Lachs", "Saumon", "Salmón"), 5, 0.9, 8, "small fish", "rivers"),
    Animal(("Giant panda", "Großer Panda", "Panda géant", "Panda gigante"), 110, 1.6, 20, "bamboo", "china"),
    Animal(
        ("Snow leopard", "Schneeleopard", "Panthère des neiges", "Leopardo de las nieves"), 45, 1.2, 14, "meat", "asia"
    ),
    Animal(("Kangaroo", "Riesenkänguru", "Kangourou roux", "Canguro rojo"), 70, 1.5, 16, "grass", "australia"),
    Animal(("Koala", "Koala", "Koala", "Koala"), 10, 0.8, 14, "eucalyptus", "australia"),
)

DIETS = {
    "krill": ("krill", "Krill", "krill", "kril"),
    "squid": ("squid", "Kalmaren", "calmars", "calamares"),
    "plants": (
        "leaves, bark and fruit",
        "Blättern, Rinde und Früchten",
        "feuilles, d'écorce et de fruits",
        "hojas y fruta",
    ),
    "leaves": ("the leaves of acacias", "den Blättern von Akazien", "feuilles d'acacia", "hojas de acacia"),
    "grass": ("grass and herbs", "Gras und Kräutern", "herbes", "hierbas"),
    "meat": ("the meat of other animals", "dem Fleisch anderer Tiere", "viande", "carne de otros animales"),
    "fish": ("fish", "Fischen", "poissons", "peces"),
    "mussels": ("mussels", "Muscheln", "moules", "mejillones"),
    "lichen": ("lichen", "Flechten", "lichens", "líquenes"),
    "berries": ("berries, roots and fish", "Beeren, Wurzeln und Fischen", "baies et de poissons", "bayas y peces"),
    "roots": ("roots, acorns and worms", "Wurzeln, Eicheln und Würmern", "racines et de glands", "raíces y bellotas"),
    "bark": ("bark and twigs", "Rinde und Zweigen", "écorce et de brindilles", "corteza y ramas"),
    "small fish": ("smaller fish", "kleineren Fischen", "petits poissons", "peces pequeños"),
    "bamboo": ("bamboo", "Bambus", "bambou", "bambú"),
    "eucalyptus": (
        "the leaves of eucalyptus trees",
        "Eukalyptusblättern",
        "feuilles d'eucalyptus",
        "hojas de eucalipto",
    ),
}

REGIONS = {
    "ocean": ("in all oceans", "in allen Weltmeeren", "dans tous les océans", "en todos los océanos"),
    "africa": (
        "in the savannas of Africa",
        "in den Savannen Afrikas",
        "dans les savanes d'Afrique",
        "en las sabanas de África",
    ),
    "south": (
        "on the coasts of Antarctica",
        "an den Küsten der Antarktis",
        "sur les côtes de l'Antarctique",
        "en la Antártida",
    ),
    "north": ("in the Arctic", "in der Arktis", "dans l'Arctique", "en el Ártico"),
    "forest": (
        "in the forests of Europe",
        "in den Wäldern Europas",
        "dans les forêts d'Europe",
        "en los bosques de Europa",
    ),
    "rivers": (
        "in clean rivers and lakes",
        "in sauberen Flüssen und Seen",
        "dans les rivières propres",
        "en ríos limpios",
    ),
    "china": (
        "in the mountains of China",
        "in den Bergen Chinas",
        "dans les montagnes de Chine",
        "en las montañas de China",
    ),
    "asia": (
        "in the high mountains of Asia",
        "in den Hochgebirgen Asiens",
        "dans les montagnes d'Asie",
        "en las montañas de Asia",
    ),
    "australia": ("in Australia", "in Australien", "en Australie", "en Australia"),
}

PORTRAITS = {
    "en": (
        "# {name}\n\nThis animal lives {region}. The {lower} feeds on {diet}. A grown {lower} weighs about "
        "{kilograms} kilograms and is {metres} metres long. In the wild it reaches an age of {years} years.\n"
    ),
    "de": (
        "# {name}\n\nDieses Tier lebt {region}. Es ernährt sich von {diet}. Ausgewachsen wiegt es etwa {kilograms} "
        "Kilogramm und ist {metres} Meter lang. In freier Wildbahn wird es {years} Jahre alt.\n"
    ),
    "fr": (
        "# {name}\n\nCet animal vit {region}. Il se nourrit de {diet}. Adulte, il pèse environ {kilograms} "
        "kilogrammes et mesure {metres} mètres. Dans la nature, il vit {years} ans.\n"
    ),
    "es": (
        "# {name}\n\nEste animal vive {region}. Se alimenta de {diet}. De adulto pesa unos {kilograms} kilogramos y "
        "mide {metres} metros. En libertad vive {years} años.\n"
    ),
}

CITIES = (
    City("en", "London", "the United Kingdom", "the Thames", 8_900_000, "Tower Bridge"),
    City("en", "Dublin", "Ireland", "the Liffey", 590_000, "the library of Trinity College"),
    City("en", "Edinburgh", "Scotland", "the Firth of Forth", 520_000, "its castle"),
    City("en", "Wellington", "New Zealand", "Cook Strait", 215_000, "the cable car"),
    City("de", "Wien", "Österreich", "die Donau", 2_000_000, "der Stephansdom"),
    City("de", "Bern", "der Schweiz", "die Aare", 134_000, "der Zytglogge"),
    City("de", "Berlin", "Deutschland", "die Spree", 3_700_000, "das Brandenburger Tor"),
    City("de", "Hamburg", "Deutschland", "die Elbe", 1_850_000, "die Speicherstadt"),
    City("de", "Prag", "Tschechien", "die Moldau", 1_300_000, "die Karlsbrücke"),
    City("fr", "Paris", "France", "la Seine", 2_100_000, "la tour Eiffel"),
    City("fr", "Bruxelles", "Belgique", "la Senne", 1_200_000, "la Grand-Place"),
    City("fr", "Lyon", "France", "le Rhône", 520_000, "la basilique de Fourvière"),
    City("fr", "Budapest", "Hongrie", "le Danube", 1_700_000, "le pont des Chaînes"),
    City("fr", "Varsovie", "Pologne", "la Vistule", 1_860_000, "la vieille ville"),
    City("es", "Madrid", "España", "el Manzanares", 3_300_000, "el Museo del Prado"),
    City("es", "Sevilla", "España", "el Guadalquivir", 680_000, "la Giralda"),
    City("es", "Buenos Aires", "Argentina", "el Río de la Plata", 3_100_000, "el Teatro Colón"),
    City("es", "Lisboa", "Portugal", "el Tajo", 545_000, "la torre de Belém"),
)

GUIDES = {
    "en": (
        "{name}\n\n{name} is a city in {country}. It has about {inhabitants} inhabitants and lies on {water}. Most "
        "visitors want to see {sight} first. Our travel agency books the train, the hotel is paid on the spot.\n"
    ),
    "de": (
        "{name}\n\n{name} ist eine Stadt in {country}. Sie hat etwa {inhabitants} Einwohner, durch sie fließt {water}. "
        "Das bekannteste Bauwerk ist {sight}. Die Bahnfahrt bucht unser Reisebüro, das Hotel wird vor Ort bezahlt.\n"
    ),
    "fr": (
        "{name}\n\n{name} est une ville de {country}. Elle compte environ {inhabitants} habitants et se trouve "
        "sur {water}. À voir absolument : {sight}. Notre agence réserve le train, l'hôtel se paie sur place.\n"
    ),
    "es": (
        "{name}\n\n{name} es una ciudad de {country}. Tiene unos {inhabitants} habitantes y por ella pasa {water}. Lo "
        "más visitado es {sight}. La agencia reserva el tren y el hotel se paga allí.\n"
    ),
}

DEVICES = (
    Device(
        ("Coffee machine", "Kaffeemaschine"),
        (
            ("If the red lamp blinks, the water tank is empty.", "Blinkt die rote Lampe, ist der Wassertank leer."),
            ("The blue lamp asks for a new filter.", "Die blaue Lampe verlangt einen neuen Filter."),
        ),
    ),
    Device(
        ("Printer", "Drucker"),
        (
            ("Error 13.2 means that paper is jammed behind flap B.", "Fehler 13.2 heißt: Papierstau hinter Klappe B."),
            ("Toner is kept in the cupboard next to the lift.", "Toner liegt im Schrank neben dem Aufzug."),
        ),
    ),
    Device(
        ("Dishwasher", "Spülmaschine"),
        (
            ("If it hums without draining, clean the sieve.", "Brummt sie ohne abzupumpen, das Sieb reinigen."),
            ("Salt is refilled on the first Monday of a month.", "Salz wird am ersten Montag im Monat nachgefüllt."),
        ),
    ),
    Device(
        ("Heating", "Heizung"),
        (
            ("Below one bar of pressure it switches itself off.", "Unter einem Bar Druck schaltet sie sich ab."),
            ("The chimney sweep comes every October.", "Der Schornsteinfeger kommt jeden Oktober."),
        ),
    ),
    Device(
        ("Lift", "Aufzug"),
        (
            ("In case of fire nobody may use it.", "Im Brandfall darf ihn niemand benutzen."),
            ("Its emergency number is 0800 555 012.", "Die Notrufnummer lautet 0800 555 012."),
        ),
    ),
    Device(
        ("Projector", "Beamer"),
        (
            ("A yellow picture means that the cable is loose.", "Ein gelbes Bild heißt, dass das Kabel locker ist."),
            ("The lamp has to be replaced after 3000 hours.", "Die Lampe muss nach 3000 Stunden ersetzt werden."),
        ),
    ),
    Device(
        ("Air conditioner", "Klimaanlage"),
        (
            ("If it drips, the hose in the cellar is blocked.", "Tropft sie, ist der Schlauch im Keller verstopft."),
            ("It is set to 24 degrees and not lower.", "Sie wird auf 24 Grad gestellt und nicht niedriger."),
        ),
    ),
    Device(
        ("Laser cutter", "Laserschneider"),
        (
            (
                "PVC must never be cut, its smoke is poisonous.",
                "PVC darf nie geschnitten werden, der Rauch ist giftig.",
            ),
            ("The mirrors are cleaned with alcohol.", "Die Spiegel werden mit Alkohol gereinigt."),
        ),
    ),
)

SUPPLIERS = (
    ("Lindner & Sons", "Graz", "coffee beans", "kg", 18.5),
    ("Papeterie Moreau", "Lyon", "printing paper", "boxes", 24.0),
    ("Huerta del Sur", "Sevilla", "oranges", "crates", 11.2),
    ("Nordwind GmbH", "Hamburg", "office chairs", "pieces", 189.0),
    ("Casa Bianchi", "Torino", "olive oil", "litres", 9.4),
    ("De Vries Fietsen", "Utrecht", "bicycle tyres", "pieces", 21.9),
)

DECISIONS = (
    "The office stays closed between Christmas and the sixth of January.",
    "From March on, the newsletter is sent on Thursdays.",
    "The old server is switched off at the end of May.",
    "Travel below three hours is made by train.",
    "Every team gets a budget of 500 euros for books.",
    "The key of the archive is kept by Carla.",
    "Visitors sign the list at the reception.",
    "The summer party takes place on the roof terrace on 11 July.",
    "Backups are restored once in a quarter, to see whether they can be.",
    "New colleagues get a mentor for their first three months.",
    "The workshop may be used until ten in the evening.",
    "Invoices above 2000 euros need two signatures.",
    "The website will be translated into Spanish.",
    "Bicycles may be brought into the inner yard.",
    "Björn takes over the contract with the electricity company.",
    "The meeting room on the second floor is named after Ada Lovelace.",
    "Software licences are bought for two years at most.",
    "The canteen offers a dish without meat every day.",
    "Monday mornings are free of meetings.",
    "The museum gets our old projector as a present.",
    "Customers from Lisbon are shown the laser cutter.",
    "The fire drill takes place without notice.",
    "Plants in the corridor are watered by those who pass by.",
    "Home office is possible on three days of a week.",
)

LETTERS = (
    (
        "Lunch with the guests from Lisbon",
        "We meet the guests from Lisbon at half past twelve in the Blue Lobster.",
        "I shall bring the contract.",
    ),
    (
        "Parcel at the neighbours",
        "A parcel for the workshop was left at the bakery next door.",
        "Thanks, I have fetched it.",
    ),
    ("Flat tyre", "The left tyre of the cargo bike is flat again.", "A new tyre is in the cellar."),
    ("Train to Vienna", "Our train to Vienna leaves at 7:52 from platform 9.", "I am in coach 23."),
    ("Broken window", "A football has broken the window of the archive.", "The glazier comes on Wednesday at eight."),
    (
        "Offer for solar panels",
        "Lindner offers us twelve solar panels for 7400 euros.",
        "Ask them for the price of a battery too.",
    ),
    ("Choir rehearsal", "The choir rehearses on Tuesdays in the canteen.", "We need somebody who sings bass."),
    ("Lost scarf", "Who has lost a green scarf in the meeting room?", "It is mine, please leave it at the reception."),
    (
        "Schulung Brandschutz",
        "Die Schulung zum Brandschutz findet am 3. Februar im Hof statt.",
        "Ich bringe den Feuerlöscher mit.",
    ),
    ("Neue Telefonnummer", "Unsere neue Nummer beim Kundendienst ist 4711.", "Ist auf der Webseite geändert."),
    ("Apfelernte", "Im Garten hinter der Werkstatt sind die Äpfel reif.", "Am Samstag machen wir Apfelsaft."),
    ("Urlaub im August", "Vom 4. bis zum 22. August bin ich in den Dolomiten.", "Ich vertrete dich."),
    (
        "Schlüssel vergessen",
        "Mein Schlüssel liegt noch auf dem Schreibtisch von Carla.",
        "Der Hausmeister lässt dich hinein.",
    ),
    (
        "Réunion reportée",
        "La réunion avec le fournisseur de Lyon est reportée au 19 mars.",
        "C'est noté dans l'agenda.",
    ),
    ("Facture en double", "La papeterie Moreau nous a envoyé deux fois la même facture.", "Ils ont annulé la seconde."),
    ("Visite du musée", "Le musée nous invite à une visite guidée le dimanche.", "Je prends six billets."),
    ("Naranjas de Sevilla", "Las naranjas de Sevilla llegan el jueves por la mañana.", "Las guardo en el sótano."),
    ("Curso de español", "El curso de español empieza el 9 de abril a las seis.", "Me apunto con mucho gusto."),
    ("Vuelo cancelado", "El vuelo a Madrid está cancelado por la huelga.", "Tomamos el tren de noche."),
    ("Cena con clientes", "La cena con los clientes de Turín es el viernes.", "Reservo una mesa para ocho."),
)

CARDS = (
    ("Order new name plates", "The plates of the second floor still show the old company name."),
    ("Repair the bench", "One board of the bench in the yard is rotten; oak would last longest."),
    ("Translate the price list", "Spanish first, French can wait until autumn."),
    ("Measure the noise of the lift", "The dentist below us complains about it every afternoon."),
    ("Ask for offers of fibre", "Three companies dig in our street this year."),
    ("Plan the open day", "We want to show the laser cutter and to sell apple juice."),
    ("Collect old batteries", "The box stands behind the reception and is emptied monthly."),
    ("Renew the domain", "The domain expires on 30 September; the password is known to Anna."),
    ("Replace the smoke alarms", "Their batteries last for ten years, and ten years are over."),
    ("Teach the wiki to the interns", "An hour is enough if everybody brings a laptop."),
    ("Bienenkästen aufstellen", "Der Imker hat zwei Völker für unser Dach zugesagt."),
    ("Regenrinne reinigen", "Das Laub der Linde verstopft sie jeden Herbst."),
    ("Kassenbuch prüfen", "Im März fehlen Belege über 48 Euro."),
    ("Peindre le couloir", "La couleur choisie est un vert très clair."),
    ("Préparer le salon de Lyon", "Notre stand porte le numéro 214."),
    ("Buscar un proveedor de café", "El café de Graz ha subido un doce por ciento."),
)

SECRETS = (
    (
        "anna",
        "files/Private/Salaries.md",
        "# Salaries\n\nBjörn earns 4100 euros a month, Carla earns 4350 euros a month.\n",
    ),
    ("anna", "files/Private/Garden.txt", "I planted tulips and garlic along the southern wall.\n"),
    (
        "björn",
        "files/Private/Diary.md",
        "# Diary\n\nOn Sunday I ran the half marathon in one hour and fifty minutes.\n",
    ),
    ("carla", "files/Private/Passport.txt", "My passport expires on 14 November.\n"),
    ("david", "files/Private/Present.txt", "Anna gets a telescope for her birthday.\n"),
)
