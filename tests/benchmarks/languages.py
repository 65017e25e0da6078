"""What the embedded default is worth in other languages, with English labels and descriptions.

Run: ``python tests/benchmarks/languages.py``. 30 everyday sentences of six topics, our own, each translated by
hand into German, Spanish, French, Chinese and Arabic. Prints accuracy by model and language.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LABELS = {
    "sports": "games, teams, players, matches and championships",
    "cooking": "recipes, food, ingredients and what happens in a kitchen",
    "money": "banks, payments, prices, stocks and interest rates",
    "health": "doctors, illness, medicine and hospitals",
    "travel": "trips, flights, trains, hotels and luggage",
    "weather": "rain, snow, heat, wind and storms",
}

SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "English": {
        "sports": (
            "The goalkeeper saved a penalty in the last minute.",
            "Our team lost the final by two points.",
            "She ran the marathon in under three hours.",
            "The coach changed three players at half-time.",
            "He won his first tennis tournament.",
        ),
        "cooking": (
            "Fry the onions in butter until they are golden.",
            "The soup needs more salt and a little garlic.",
            "Let the dough rest for an hour before baking.",
            "I burnt the rice again.",
            "Cut the vegetables into small pieces.",
        ),
        "money": (
            "The bank charged me twice for the same transfer.",
            "Shares fell sharply after the announcement.",
            "My credit card was declined at the shop.",
            "The rent goes up by five percent next year.",
            "She is saving for a new car.",
        ),
        "health": (
            "The doctor prescribed antibiotics for the infection.",
            "He has had a fever since yesterday.",
            "She broke her arm and was taken to hospital.",
            "The vaccine protects against the flu.",
            "My back has been hurting for weeks.",
        ),
        "travel": (
            "Our flight was cancelled and we missed the connection.",
            "The hotel lost our reservation.",
            "We took the night train to Vienna.",
            "My suitcase did not arrive with me.",
            "They are planning a trip to the islands in summer.",
        ),
        "weather": (
            "It has been raining without a break for three days.",
            "The storm tore the roofs off several houses.",
            "Tomorrow it will be sunny and very hot.",
            "Half a metre of snow fell in the mountains.",
            "Thick fog covered the valley in the morning.",
        ),
    },
    "German": {
        "sports": (
            "Der Torwart hielt in der letzten Minute einen Elfmeter.",
            "Unsere Mannschaft verlor das Finale mit zwei Punkten.",
            "Sie lief den Marathon in weniger als drei Stunden.",
            "Der Trainer wechselte zur Halbzeit drei Spieler aus.",
            "Er gewann sein erstes Tennisturnier.",
        ),
        "cooking": (
            "Brate die Zwiebeln in Butter goldbraun an.",
            "Die Suppe braucht mehr Salz und etwas Knoblauch.",
            "Lass den Teig vor dem Backen eine Stunde ruhen.",
            "Ich habe den Reis schon wieder anbrennen lassen.",
            "Schneide das Gemüse in kleine Stücke.",
        ),
        "money": (
            "Die Bank hat mir dieselbe Überweisung zweimal berechnet.",
            "Die Aktien fielen nach der Ankündigung stark.",
            "Meine Kreditkarte wurde im Laden abgelehnt.",
            "Die Miete steigt nächstes Jahr um fünf Prozent.",
            "Sie spart auf ein neues Auto.",
        ),
        "health": (
            "Der Arzt verschrieb Antibiotika gegen die Infektion.",
            "Er hat seit gestern Fieber.",
            "Sie brach sich den Arm und wurde ins Krankenhaus gebracht.",
            "Die Impfung schützt vor der Grippe.",
            "Mein Rücken tut seit Wochen weh.",
        ),
        "travel": (
            "Unser Flug wurde gestrichen und wir verpassten den Anschluss.",
            "Das Hotel hat unsere Reservierung verloren.",
            "Wir nahmen den Nachtzug nach Wien.",
            "Mein Koffer ist nicht mit mir angekommen.",
            "Sie planen im Sommer eine Reise auf die Inseln.",
        ),
        "weather": (
            "Es regnet seit drei Tagen ohne Pause.",
            "Der Sturm riss die Dächer von mehreren Häusern.",
            "Morgen wird es sonnig und sehr heiß.",
            "In den Bergen fiel ein halber Meter Schnee.",
            "Dichter Nebel bedeckte am Morgen das Tal.",
        ),
    },
    "Spanish": {
        "sports": (
            "El portero paró un penalti en el último minuto.",
            "Nuestro equipo perdió la final por dos puntos.",
            "Ella corrió el maratón en menos de tres horas.",
            "El entrenador cambió a tres jugadores en el descanso.",
            "Ganó su primer torneo de tenis.",
        ),
        "cooking": (
            "Fríe las cebollas en mantequilla hasta que estén doradas.",
            "A la sopa le falta sal y un poco de ajo.",
            "Deja reposar la masa una hora antes de hornearla.",
            "He vuelto a quemar el arroz.",
            "Corta las verduras en trozos pequeños.",
        ),
        "money": (
            "El banco me cobró dos veces la misma transferencia.",
            "Las acciones cayeron con fuerza tras el anuncio.",
            "Me rechazaron la tarjeta de crédito en la tienda.",
            "El alquiler sube un cinco por ciento el año que viene.",
            "Está ahorrando para un coche nuevo.",
        ),
        "health": (
            "El médico recetó antibióticos para la infección.",
            "Tiene fiebre desde ayer.",
            "Se rompió el brazo y la llevaron al hospital.",
            "La vacuna protege contra la gripe.",
            "Me duele la espalda desde hace semanas.",
        ),
        "travel": (
            "Cancelaron nuestro vuelo y perdimos la conexión.",
            "El hotel perdió nuestra reserva.",
            "Tomamos el tren nocturno a Viena.",
            "Mi maleta no llegó conmigo.",
            "Planean un viaje a las islas en verano.",
        ),
        "weather": (
            "Lleva tres días lloviendo sin parar.",
            "La tormenta arrancó los tejados de varias casas.",
            "Mañana hará sol y mucho calor.",
            "Cayó medio metro de nieve en las montañas.",
            "Una niebla espesa cubrió el valle por la mañana.",
        ),
    },
    "French": {
        "sports": (
            "Le gardien a arrêté un penalty à la dernière minute.",
            "Notre équipe a perdu la finale de deux points.",
            "Elle a couru le marathon en moins de trois heures.",
            "L'entraîneur a remplacé trois joueurs à la mi-temps.",
            "Il a gagné son premier tournoi de tennis.",
        ),
        "cooking": (
            "Faites revenir les oignons dans le beurre jusqu'à ce qu'ils soient dorés.",
            "Il manque du sel et un peu d'ail dans la soupe.",
            "Laissez reposer la pâte une heure avant la cuisson.",
            "J'ai encore brûlé le riz.",
            "Coupez les légumes en petits morceaux.",
        ),
        "money": (
            "La banque m'a facturé deux fois le même virement.",
            "Les actions ont fortement chuté après l'annonce.",
            "Ma carte de crédit a été refusée au magasin.",
            "Le loyer augmente de cinq pour cent l'année prochaine.",
            "Elle économise pour une nouvelle voiture.",
        ),
        "health": (
            "Le médecin a prescrit des antibiotiques contre l'infection.",
            "Il a de la fièvre depuis hier.",
            "Elle s'est cassé le bras et a été emmenée à l'hôpital.",
            "Le vaccin protège contre la grippe.",
            "J'ai mal au dos depuis des semaines.",
        ),
        "travel": (
            "Notre vol a été annulé et nous avons raté la correspondance.",
            "L'hôtel a perdu notre réservation.",
            "Nous avons pris le train de nuit pour Vienne.",
            "Ma valise n'est pas arrivée avec moi.",
            "Ils préparent un voyage dans les îles cet été.",
        ),
        "weather": (
            "Il pleut sans arrêt depuis trois jours.",
            "La tempête a arraché les toits de plusieurs maisons.",
            "Demain, il fera beau et très chaud.",
            "Il est tombé un demi-mètre de neige en montagne.",
            "Un épais brouillard couvrait la vallée ce matin.",
        ),
    },
    "Chinese": {
        "sports": (
            "守门员在最后一分钟扑出了点球。",
            "我们队以两分之差输掉了决赛。",
            "她不到三小时就跑完了马拉松。",
            "教练在中场换下了三名球员。",
            "他赢得了第一个网球锦标赛。",
        ),
        "cooking": (
            "用黄油把洋葱炒到金黄。",
            "汤里还要加点盐和大蒜。",
            "烘烤前让面团静置一小时。",
            "我又把米饭烧糊了。",
            "把蔬菜切成小块。",
        ),
        "money": (
            "银行对同一笔转账收了我两次钱。",
            "公告发布后股价大跌。",
            "我的信用卡在商店被拒了。",
            "明年房租要上涨百分之五。",
            "她正在存钱买新车。",
        ),
        "health": (
            "医生开了抗生素治疗感染。",
            "他从昨天开始发烧。",
            "她摔断了胳膊，被送进了医院。",
            "疫苗可以预防流感。",
            "我的背已经疼了好几个星期。",
        ),
        "travel": (
            "我们的航班被取消，错过了转机。",
            "酒店弄丢了我们的预订。",
            "我们坐夜车去了维也纳。",
            "我的行李箱没有和我一起到达。",
            "他们计划夏天去海岛旅行。",
        ),
        "weather": (
            "雨已经不停地下了三天。",
            "暴风雨掀翻了好几座房子的屋顶。",
            "明天天气晴朗，非常炎热。",
            "山里下了半米厚的雪。",
            "早上浓雾笼罩着山谷。",
        ),
    },
    "Arabic": {
        "sports": (
            "تصدى حارس المرمى لركلة جزاء في الدقيقة الأخيرة.",
            "خسر فريقنا المباراة النهائية بفارق نقطتين.",
            "ركضت الماراثون في أقل من ثلاث ساعات.",
            "غيّر المدرب ثلاثة لاعبين في الشوط الثاني.",
            "فاز بأول بطولة تنس له.",
        ),
        "cooking": (
            "اقلِ البصل في الزبدة حتى يصبح ذهبياً.",
            "تحتاج الشوربة إلى مزيد من الملح وقليل من الثوم.",
            "اترك العجين يرتاح ساعة قبل الخبز.",
            "لقد أحرقت الأرز مرة أخرى.",
            "قطّع الخضروات إلى قطع صغيرة.",
        ),
        "money": (
            "خصم البنك مني نفس التحويل مرتين.",
            "انخفضت الأسهم بشدة بعد الإعلان.",
            "رُفضت بطاقتي الائتمانية في المتجر.",
            "سيرتفع الإيجار بنسبة خمسة في المئة العام القادم.",
            "إنها تدخر لشراء سيارة جديدة.",
        ),
        "health": (
            "وصف الطبيب مضادات حيوية لعلاج العدوى.",
            "يعاني من الحمى منذ أمس.",
            "كسرت ذراعها ونُقلت إلى المستشفى.",
            "اللقاح يحمي من الإنفلونزا.",
            "ظهري يؤلمني منذ أسابيع.",
        ),
        "travel": (
            "أُلغيت رحلتنا الجوية وفاتتنا الرحلة التالية.",
            "أضاع الفندق حجزنا.",
            "ركبنا القطار الليلي إلى فيينا.",
            "لم تصل حقيبتي معي.",
            "يخططون لرحلة إلى الجزر في الصيف.",
        ),
        "weather": (
            "تمطر منذ ثلاثة أيام دون توقف.",
            "اقتلعت العاصفة أسقف عدة منازل.",
            "غداً سيكون الجو مشمساً وحاراً جداً.",
            "سقط نصف متر من الثلج في الجبال.",
            "غطى ضباب كثيف الوادي في الصباح.",
        ),
    },
}


def accuracy(model: str, language: str) -> float:
    """The share of the language's sentences that get their topic."""
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec, Choice, OneOf, Request

    backend = create(BackendSpec("embedded", model), None)
    form = OneOf(tuple(Choice(*pair) for pair in LABELS.items()))
    pairs = [(text, topic) for topic, texts in SENTENCES[language].items() for text in texts]
    asks = [Request("embedded", model, (), form, subject=text) for text, _ in pairs]
    found = asyncio.run(backend.complete_many(asks))
    return sum(answer.parsed == topic for answer, (_, topic) in zip(found, pairs, strict=True)) / len(pairs)


def main() -> None:
    print(f"| model | {' | '.join(SENTENCES)} |\n|{'---|' * (len(SENTENCES) + 1)}")
    for model in ("wordllama+use", "wordllama", "use", "tfidf"):
        print(f"| {model} | {' | '.join(f'{accuracy(model, name):.2f}' for name in SENTENCES)} |", flush=True)


if __name__ == "__main__":
    main()
