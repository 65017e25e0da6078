"""General subjects, for groups that no phrase of their own covers: "Sports" stands in few reports of matches.

The list follows what newspapers (the upper levels of the IPTC Media Topics), parliaments (the Comparative
Agendas Project), libraries (the hundred divisions of Dewey's classification), computing (the ACM's
classification), medicine, shops and help desks sort by; wording and describing words are our own. A heading
stands for the texts whose vectors are near to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

NEAR = (0.2, 0.25, 0.3, 0.35, 0.4)
"""Cosines, of vectors less the middle of all headings, from which a text may count as about a heading."""
CLOSE = 0.28
"""Cosine between a group's middle and a heading from which the heading can be its name."""
ENGLISH = 0.5
"""Share of the texts that hold an English function word from which English headings are tried."""

LISTED = """
Sports: game team season coach players match win championship
American football: touchdown quarterback football yards
Soccer: soccer goal striker league club manager Premiership UEFA Cup
Baseball: baseball inning pitcher runs
Basketball: basketball points rebounds
Ice hockey: hockey puck ice goalie
Cricket: cricket test wicket batsman innings
Golf: golf tour tournament round birdie par
Tennis: tennis open set serve seed
Olympic Games: Olympics medal athletes
Motor racing: race driver Grand Prix
Horse racing: horse racing jockey derby
Boxing: boxing fight heavyweight boxer
Cycling: bicycle cycling rider bike
Swimming: swimming pool swimmer
Chess and board games: chess board cards dice
Politics: politicians parties parliament policy
Elections: vote voters candidates ballot campaign
War and conflict: troops killed attack soldiers war militants bomb
Terrorism: terrorists attack bomb suspects
Diplomacy: talks foreign minister treaty relations nations
Middle East: Israel Palestinians Iraq Iran Syria Arab
East Asia: China Japan Korea Taiwan Beijing
South Asia: India Pakistan Bangladesh Kashmir
Africa: African Sudan Nigeria Kenya Congo
Europe: European Union EU Brussels Germany France
Russia: Russian Putin Moscow Kremlin
Latin America: Brazil Mexico Argentina Venezuela Cuba
Peace talks: ceasefire truce negotiations peace
Nuclear weapons: nuclear weapons uranium missile
Crime: police arrested murder suspect
Courts and trials: court judge trial lawsuit charges verdict
Financial regulation: regulators securities rules regulation commission oversight funds
Prisons: prison inmates jail sentence
Fraud: fraud scam bribery theft
Human rights: rights abuse freedom
Civil rights: discrimination equality race civil rights
Guns: gun firearm shooting
Drug abuse: drugs addiction opioid overdose
Abortion: abortion pregnancy women
Gender and sexuality: gender gay lesbian transgender
Weather: storm rain hurricane wind temperature
Natural disasters: hurricane earthquake flood victims
Accidents: crash accident explosion fire
Space: NASA spacecraft moon planet orbit
Science: scientists researchers study discovery
Physics: physics quantum particle energy
Chemistry: chemical molecule reaction compound
Biology: cells genes protein species
Mathematics: mathematics theorem equation proof
Statistics: data statistics sample regression
Psychology: psychology behavior cognitive perception
History: history ancient century historical
Archaeology: archaeologists ancient tomb fossil
Philosophy: philosophy ethics moral
Language: language words grammar translation
Climate and environment: climate pollution warming emissions
Wildlife: animals species birds conservation
Waste and recycling: waste recycling garbage landfill
Health: patients doctors disease treatment hospital
Medicine and drugs: drug medicine FDA pharmaceutical
Mental health: anxiety depression stress therapy
Infectious diseases: virus infection vaccine epidemic
Cancer: cancer tumor chemotherapy
Pregnancy and birth: pregnancy birth baby
Fitness and diet: exercise gym weight diet
Sleep: sleep insomnia bed night
Dentistry: dentist teeth dental
Education: school students teachers college university
Technology: computer software technology internet
Software: software program version release code
Programming: programming code function compiler bug
Internet: web online sites search
Social media: Facebook Twitter followers post
Computer security: virus hackers security spyware
Artificial intelligence: intelligence machine learning neural model
Mobile phones: phone mobile wireless handset
Computer hardware: chip computer processor server
Video games: video game console players PlayStation
Telecommunications: telephone wireless broadband carrier
Robotics: robot robots autonomous
Virtual reality: virtual augmented reality headset
User interfaces: interface user interaction display
Engineering: engineering machine mechanical construction
Business: company corporate executives business
Mergers and acquisitions: merger acquisition takeover bid buy company
Company earnings: profit earnings quarter revenue results
Stock market: stocks shares investors Wall Street
Economy: economy inflation growth interest rates jobs
Oil and gas: oil crude barrel gas prices
Energy: energy power electricity fuel
Mining and metals: mining gold steel copper
Manufacturing: factory manufacturing plant production
Banking and finance: bank loans finance credit
Insurance: insurance coverage premiums
Taxes: tax income deduction credit
Government budget: budget spending deficit appropriations
Trade and tariffs: tariff imports exports duty trade
Labor and employment: workers employer wages union jobs
Job search: job interview resume hiring career
Small businesses: small business entrepreneurs owners
Marketing and advertising: advertising marketing brand campaign
Retail and shopping: store retailer shoppers sales
Real estate and housing: housing home mortgage rent
Agriculture: farm crops farmers agriculture
Forestry: forest timber logging trees
Fishing: fish fishing fishermen
Transportation: transportation highway rail vehicles
Air travel: airline flight airport passengers
Railways: train railway station
Shipping: ship port vessel cargo
Cars: car vehicle driving engine
Travel and tourism: hotel travel tourists trip
Immigration: immigrants visa border alien asylum
Military and veterans: veterans armed forces military service
Intelligence services: intelligence CIA spy agents
Postal service: mail post office postal
Social security: retirement benefits disability pension
Poverty and welfare: poverty welfare poor homeless
Public lands: land forest park wilderness
Water resources: water river supply irrigation
Government: federal agency congress legislation
Local government: city county mayor
Royalty: king queen royal prince
Religion: church faith religious god
Family and children: parents children family kids mother
Love and relationships: love marriage couple girlfriend
Friendship: friend friends friendship
Death and grief: death died loss funeral
Elderly people: elderly seniors grandparents nursing
Movies: movie film actor director
Television: TV show television series
Music: music song album band
Books: book author novel read
Theater and dance: theater stage dance ballet
Comedy and humor: funny joke laugh lol
Celebrities: celebrity star Hollywood
Art and culture: art museum culture
Photography: photo camera picture
Architecture: architecture building architect
Design: design designers creative
News media: newspaper journalists press media
Food and drink: food restaurant meal eat drink
Cooking: recipe cook oven ingredients
Coffee and tea: coffee tea espresso
Wine and beer: wine beer alcohol bar
Fashion: clothes fashion style wear
Beauty and cosmetics: makeup skin hair cosmetics
Jewelry and watches: jewelry ring necklace
Furniture: furniture sofa chair table
Gardening: garden plants flowers soil
Home repair: repair paint plumbing roof
Toys: toy toys doll
Pets: dog cat pet puppy
Batteries and charging: battery charger charge plug
Headphones and sound: headphones headset ear sound
Thanks: thank thanks appreciate grateful
Congratulations: congratulations congrats happy birthday
Apologies: sorry apologize forgive mistake
Anger and insults: angry hate idiot stupid
Fear and worry: afraid scared fear worried
Sadness: sad cry lonely unhappy
Surprise: surprised wow shocked unexpected
Customer service: service staff customer
Complaints: complaint disappointed terrible unacceptable
Recommendations: recommend recommended highly
Waiting times: waited minutes waiting slow
Price and value: price value money cheap expensive
Delivery: delivery package arrive shipped courier
Returns and refunds: refund return exchange reimbursed
Privacy: privacy personal data information
Passwords and login: password login sign account
Payments: payment pay card transaction
Bank accounts: account bank balance deposit
Cash and ATMs: cash ATM withdraw withdrawal
Money transfers: transfer money sent recipient
Currency exchange: exchange rate currency foreign
Subscriptions: subscription cancel renew plan
Opening hours: open hours closed appointment
Technical problems: error crash bug problem fix
Skiing and winter sports: ski snowboard skating snow
Athletics: race runner marathon sprint track
Fitness and yoga: yoga workout gym exercise
Hunting and shooting: hunting game rifle deer
Camping and hiking: camping hiking trail tent mountain
Boats and sailing: boat sailing ship crew sea
Protests: protest demonstrators rally march activists
Police: police officers arrest patrol
Corruption: corruption bribe scandal embezzlement
Refugees: refugees displaced camps asylum
Women's rights: women equality feminist
Race and ethnicity: race ethnic racial minority
Native peoples: tribe tribal Indian indigenous native
Charity and volunteering: charity donation volunteers fundraising
Disability: disabled disabilities wheelchair accessible
Youth: youth teenagers young adolescents
Weddings: wedding bride married reception
Holidays and celebrations: Christmas holiday Thanksgiving celebration
Constitutional law: constitution amendment constitutional rights court
Contracts: contract agreement party obligations clause
Intellectual property: patent copyright trademark invention
Licenses: license copyright terms permission
Family law: divorce custody marriage adoption
Foreign aid: aid assistance development humanitarian
Arms control: treaty arms control weapons nuclear
Disaster relief: relief emergency disaster recovery
Homeland security: homeland security terrorism threat
Public works: bridges roads construction infrastructure
Highways and roads: highway road traffic drivers
Aviation and airports: airport airline aircraft aviation pilots carrier
Aerospace: aircraft rocket satellite launch
Maritime affairs: vessel coast guard maritime port
Pensions: pension retirement plan annuity
Wages: wage pay salary overtime
Trade unions: union strike bargaining workers
Bankruptcy: bankruptcy debt creditors insolvency
Accounting and auditing: accounting audit financial statements
Consumer protection: consumers protection disclosure fees
Investment funds: fund investors portfolio assets
Personal finance: savings budget debt income money
Cryptocurrencies: bitcoin blockchain cryptocurrency wallet token
Management: management managers organization leadership
Construction: construction building contractor concrete
Renewable energy: solar wind renewable energy
Nuclear power: nuclear reactor power plant
Coal: coal mine mining miners
Chemicals and plastics: chemical plastic polymer
Textiles: textile fabric cotton yarn fiber
Electronics: electronic circuit voltage device
Health care: health care hospital nursing providers medical
Health insurance: health insurance coverage Medicare Medicaid
Hospitals: hospital nurses patients ward
Surgery: surgery surgeon operation surgical
Heart and circulation: heart blood cardiac artery
Diabetes: diabetes insulin glucose
Allergies and asthma: allergy asthma allergic breathing
Eyes and vision: eye vision glasses lens
Bones and joints: bone joint fracture knee
Nutrition: nutrition vitamin dietary protein
Vaccines: vaccine vaccination immunization
Geology: rock mineral earthquake geological volcano
Oceans: ocean marine sea
Ecology: ecosystem species habitat environment
Plants: plant flower tree leaf seed
Insects: insect bee ant butterfly
Genetics: gene genome DNA sequence genetic
Astronomy: star telescope galaxy planet
Anthropology: culture tribe customs society
Sociology: society social class community
Logic: logic proposition inference reasoning
Geometry: geometry angle triangle circle curve
Numbers and arithmetic: number decimal integer sum rounding
Algorithms: algorithm sorting search complexity graph
Universities: university college faculty campus
Vocational training: training vocational skills apprenticeship
Student loans: student loan tuition college aid
Libraries and archives: library archive collection catalog
Poetry: poem poet verse
Fiction: novel fiction story character
Painting: painting painter artist canvas
Classical music: orchestra symphony concert conductor
Festivals: festival parade event
Crafts: craft knitting sewing pattern
Databases: database SQL query table schema
Web development: web HTML CSS JavaScript browser page
Web services: API REST HTTP endpoint request
Networking: network TCP IP address protocol socket
Servers: server client port host
Operating systems: Linux kernel Windows operating system
Cloud computing: cloud AWS Azure container deployment
Machine learning: machine learning training model neural classification
Language models: language model LLM GPT prompt
Chatbots and assistants: chatbot assistant bot conversation
Data analysis: data analysis dataset analytics
Data visualization: plot chart visualization graph
Computer graphics: graphics rendering 3D drawing
Image processing: image pixel photo processing
Audio and video: audio video codec playback
Speech recognition: speech voice recognition spoken
File formats: file format PDF CSV XML parser
Files and folders: file directory path folder
Text processing: text string character word
Regular expressions: regular expression pattern match
Date and time: date time calendar timezone
Command-line tools: command line terminal shell
Software testing: test tests unit testing
Error handling: error exception traceback failure
Logging and monitoring: log logging monitoring metrics
Documentation: documentation manual help page
Version control: git repository commit branch GitHub
Software packages: package install dependency installation build
Cryptography: encryption encrypt key cipher hash
Authentication: authentication credentials login token
Concurrency: thread lock parallel asynchronous queue
Programming languages: programming language syntax semantics object-oriented
Compilers: compiler parser syntax bytecode
Memory and storage: memory storage disk buffer cache
Email: email message mailbox inbox
Sensors and devices: sensor device hardware firmware
Smart homes: smart home lights thermostat
Printing: printer ink print paper
Maps and geography: map geographic location coordinates
Typography: font typeface glyph
Quality and durability: quality durable broke cheap sturdy
Size and fit: size fit fits small large
Ease of use: easy use simple setup
Instructions: instructions manual setup assembly
Cleaning: clean cleaning vacuum wash
Kitchen appliances: kitchen blender oven dishwasher
Hotels: hotel room stay guests
Restaurants: restaurant waiter menu dinner
Clothing and shoes: shoes shirt dress clothes
Billing: bill billing charge invoice
"""
"""A heading and a few words that describe it, a line each."""


@dataclass(frozen=True)
class Heading:
    """A general subject: the cosine of each text to it, and of each group's middle."""

    name: str
    texts: Any
    near: tuple[float, ...]
    vector: Any = field(compare=False, repr=False)
    about: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """As it stands inside a sentence: "oil and gas", but "Olympic Games"."""
        first, *rest = self.name.split()
        return (first if self.name in _PROPER or first.isupper() else first.lower(), *rest)


_PROPER = {"American football", "Olympic Games", "Middle East", "East Asia", "South Asia"} | {
    "Africa",
    "Europe",
    "Russia",
    "Latin America",
}


@lru_cache(maxsize=1)
def listed() -> list[tuple[str, str]]:
    """Every heading with the words that describe it."""
    pairs = (line.split(": ") for line in LISTED.splitlines() if line)
    return [(name, words) for name, words in pairs]


def near_headings(
    vectors: Any, groups: Sequence[Collection[int]], embed: Callable[[Sequence[str]], Any]
) -> list[Heading]:
    """The headings that may name one of the groups. ``vectors`` are those of all texts, shape (n, d).

    A group's middle has to be near twice: less the middle of the headings, which says what it is about, and
    less the mean of all texts, which says what sets it apart.
    """
    import numpy as np

    own = np.asarray(embed([f"{name} {name} {words}" for name, words in listed()]))
    centre = own.mean(axis=0)
    own = unit(own - centre)
    texts = unit(vectors - centre) @ own.T
    middles = np.stack([vectors[sorted(group)].mean(axis=0) for group in groups])
    near = np.minimum(unit(middles - centre) @ own.T, unit(middles - vectors.mean(axis=0)) @ own.T)
    return [
        Heading(
            name,
            texts[:, n],
            tuple(map(float, near[:, n])),
            own[n],
            about,
        )
        for n, (name, about) in enumerate(listed())
        if near[:, n].max() >= CLOSE
    ]


def unit(vectors: Any) -> Any:
    """The vectors at length one; zeros stay."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


_WORDS = frozenset("the and my with this that how what are you it not do for".split())  # noqa: SIM905


def in_english(texts: Sequence[str]) -> bool:
    """Whether English headings suit these texts."""
    return sum(not _WORDS.isdisjoint(text.casefold().split()) for text in texts) >= ENGLISH * len(texts)
