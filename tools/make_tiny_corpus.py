#!/usr/bin/env python3
"""Writes a JSONL corpus ({"text": ...} a line) of simple English for a 1-3M-parameter model.

All text comes from the templates in this file: short stories, facts, counting and sums, and chats
in ChatML form. Only the standard library is used; the same seed gives the same file.

    python make_tiny_corpus.py --output corpus.jsonl [--size 8000000] [--seed 1]
"""

import argparse
import json
import pathlib
import random

# ------------------------------------------------------------------------------- the small world

BOYS = "Tom Ben Sam Max Leo Jack Finn Noah".split()
GIRLS = "Lily Mia Anna Rose Ella Lucy Nora Emma".split()
ANIMAL_NAMES = {"he": "Pip Bo Milo Teddy Rusty Oscar".split(),
                "she": "Coco Bella Ruby Daisy Poppy Luna".split()}
COLOURS = "red blue green yellow brown white black pink orange purple grey".split()

# animal: (sound, home, food, legs, one thing it can do)
ANIMALS = {
    "cat": ("meow", "in a house", "fish", 4, "climb trees"),
    "dog": ("woof", "in a house", "meat", 4, "run fast"),
    "cow": ("moo", "on a farm", "grass", 4, "give milk"),
    "duck": ("quack", "by the lake", "bread", 2, "swim and fly"),
    "sheep": ("baa", "on a farm", "grass", 4, "give wool"),
    "pig": ("oink", "on a farm", "apples", 4, "roll in the mud"),
    "frog": ("croak", "by the lake", "flies", 4, "jump high"),
    "owl": ("hoot", "in the forest", "mice", 2, "see in the dark"),
    "bee": ("buzz", "in a garden", "honey", 6, "make honey"),
    "horse": ("neigh", "on a farm", "grass", 4, "run very fast"),
    "hen": ("cluck", "on a farm", "seeds", 2, "lay eggs"),
    "lion": ("roar", "in a hot land", "meat", 4, "run fast"),
    "mouse": ("squeak", "in a small hole", "cheese", 4, "hide in small places"),
    "bear": ("growl", "in the forest", "honey", 4, "climb trees"),
    "bird": ("tweet", "in a tree", "seeds", 2, "fly and sing"),
}
QUIET_ANIMALS = {
    "fox": ("in the forest", "mice", 4, "run fast"),
    "rabbit": ("in the garden", "carrots", 4, "hop and jump"),
    "turtle": ("by the river", "leaves", 4, "swim"),
    "fish": ("in the water", "plants", 0, "swim"),
    "ant": ("under the ground", "seeds", 6, "carry big things"),
}
STORY_ANIMALS = ["cat", "dog", "duck", "frog", "owl", "mouse", "bear", "bird", "fox", "rabbit",
                 "turtle", "pig", "horse", "hen", "bee", "sheep"]
THING_COLOURS = {
    "the sky": "blue", "grass": "green", "the sun": "yellow", "snow": "white", "milk": "white",
    "a banana": "yellow", "coal": "black", "a carrot": "orange", "a leaf": "green",
    "a strawberry": "red", "the night": "black", "a cloud": "white", "the sea": "blue",
    "chocolate": "brown", "a frog": "green", "fire": "red", "a lemon": "yellow",
    "a tomato": "red", "wood": "brown", "a pig": "pink"}
OPPOSITES = [("big", "small"), ("hot", "cold"), ("day", "night"), ("up", "down"), ("old", "new"),
             ("happy", "sad"), ("fast", "slow"), ("wet", "dry"), ("good", "bad"), ("full", "empty"),
             ("open", "closed"), ("light", "dark"), ("long", "short"), ("yes", "no"),
             ("loud", "quiet"), ("hard", "soft"), ("high", "low"), ("early", "late")]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SEASONS = {"spring": "the flowers grow", "summer": "it is hot and sunny",
           "autumn": "the leaves fall", "winter": "it is cold and it snows"}
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
           "fifteen sixteen seventeen eighteen nineteen twenty").split()
USES = {"a spoon": "to eat soup", "a bed": "to sleep", "a key": "to open a door",
        "a cup": "to drink", "a book": "to read", "a lamp": "to make light", "a pen": "to write",
        "a coat": "to stay warm", "a boat": "to go on the water", "a bell": "to make a sound",
        "a basket": "to carry things", "a bike": "to ride"}

# place: how one is there
PLACES = {"garden": "in the garden", "forest": "in the forest", "park": "in the park",
          "farm": "on the farm", "river": "by the river", "hill": "on the hill",
          "beach": "on the beach", "lake": "by the lake", "barn": "in the barn",
          "market": "at the market", "school": "at school", "village": "in the village"}
TOYS = "ball kite hat boat drum book key bell basket doll box lamp cup coat bike".split()
FOODS = ["an apple", "a cake", "some soup", "some bread", "a cookie", "a carrot", "a pie", "a pear",
         "some honey", "some cheese"]
HIDING = ["under the bed", "behind a tree", "under a big leaf", "in the tall grass",
          "behind the door", "in an old box", "under a stone", "near the water"]
SIZES = ["small", "big", "little", "tiny", "old", "new", "shiny", "pretty"]
TRAITS = ["kind", "brave", "clever", "happy", "shy", "funny", "curious", "gentle"]
JOBS = ["plant some flowers", "clean the house", "fix the roof", "bake a cake",
        "carry the wood", "paint the door", "wash the cups", "feed the hens"]


def a(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text):
    return text[0].upper() + text[1:]


def plural(noun):
    special = {"mouse": "mice", "sheep": "sheep", "fish": "fish", "fox": "foxes", "box": "boxes"}
    return special.get(noun, noun + "s")


class Cast:
    """Who, where and what one story is about; fills {braces} in templates."""

    def __init__(self, rng, kind=None, name=None, toy=None):
        self.rng = rng
        self.words = {}
        if kind is None and name is None:
            kind = rng.choice(STORY_ANIMALS) if rng.random() < 0.55 else None
        self.add_person("hero", kind, name)
        other = rng.choice(STORY_ANIMALS) if rng.random() < 0.5 else None
        while other is not None and other == kind:
            other = rng.choice(STORY_ANIMALS)
        self.add_person("friend", other, None)
        place, other_place = rng.sample(sorted(PLACES), 2)
        colour, other_colour = rng.sample(COLOURS, 2)
        food, other_food = rng.sample(FOODS, 2)
        toy = toy or rng.choice(TOYS)
        size = rng.choice(SIZES)
        self.words.update(
            place=place, at=PLACES[place], place2=other_place, at2=PLACES[other_place],
            colour=colour, colour2=other_colour, food=food, food2=other_food, toy=toy,
            atoy=f"{a(size)} {colour} {toy}", hiding=rng.choice(HIDING), size=size,
            job=rng.choice(JOBS), n=NUMBERS[rng.randint(2, 9)])

    def add_person(self, role, kind, name):
        rng = self.rng
        if name is None and kind is None:
            taken = self.words.get("hero")
            name = rng.choice([n for n in BOYS + GIRLS if n != taken])
        if kind is None:
            he = name in BOYS
            what = "boy" if he else "girl"
        else:
            he = rng.random() < 0.5
            name = name or rng.choice(ANIMAL_NAMES["he" if he else "she"])
            while name == self.words.get("hero"):
                name = rng.choice(ANIMAL_NAMES["he" if he else "she"])
            what = kind
        he_words = ("he", "him", "his") if he else ("she", "her", "her")
        self.words.update({role: name, role + "_kind": what, role + "_he": he_words[0],
                           role + "_him": he_words[1], role + "_his": he_words[2],
                           role + "_trait": rng.choice(TRAITS)})

    def say(self, *choices):
        text = self.rng.choice(choices)
        words = dict(self.words)
        words.update(He=capital(words["hero_he"]), he=words["hero_he"], him=words["hero_him"],
                     his=words["hero_his"], His=capital(words["hero_his"]),
                     kind=words["hero_kind"])
        return capital(text.format(**words))


# --------------------------------------------------------------------------------------- stories

def opening(c):
    trait, size = c.words["hero_trait"], c.rng.choice(["little", "small", "young"])
    return [c.say(
        f"Once upon a time, there was {a(size)} {{kind}} named {{hero}}.",
        f"Once there was {a(trait)} {{kind}} named {{hero}}.",
        f"{{hero}} was {a(trait)} {{kind}}.",
        f"There was once {a(size)} {{kind}}. {{His}} name was {{hero}}.",
        f"One day, {a(size)} {{kind}} named {{hero}} was {{at}}.",
        f"Long ago, {a(trait)} {{kind}} named {{hero}} lived near the {{place}}.")]


def setting(c):
    return [c.say(
        "{He} liked to play {at}.", "{He} lived in a small house near the {place}.",
        "Every day, {he} went to the {place}.", "{He} loved to walk {at}.",
        "{hero} had a good friend named {friend}.", "The sun was warm and the sky was blue.",
        "It was a cold and rainy day.", "It was a bright morning.", "{He} was often {at}.")]


def closing(c, with_friend):
    both = ["{hero} and {friend} smiled.", "They were happy all day.",
            "From then on, {hero} and {friend} were best friends."] if with_friend else []
    return [c.say(
        "{hero} was very happy.", "Then {he} went home and slept well.",
        "It was a very good day.", "And {he} never forgot that day.",
        "That night, {hero} had a sweet dream.", "The end.", *both)]


def plot_lost(c):
    return [
        c.say("{hero} had {atoy}. {He} loved it very much.",
              "{hero} liked {his} {colour} {toy} best of all."),
        c.say("One day, {he} could not find the {toy}.", "But one morning, the {toy} was gone.",
              "Then the wind took the {toy} away."),
        c.say("{He} looked {at}, but it was not there.", "{He} looked and looked. {He} was sad.",
              "\"Where is my {toy}?\" {he} asked. {He} began to cry."),
        c.say("{friend} came by. \"I can help you,\" {friend_he} said.",
              "{He} asked {friend} for help. {friend} said yes."),
        c.say("They looked {at2} and they looked {hiding}.", "They looked everywhere together."),
        c.say("The {toy} was {hiding}!", "At last, {friend} saw it {hiding}.",
              "There it was, {hiding}!"),
        c.say("\"Thank you, {friend}!\" said {hero}.", "{hero} gave {friend} a big hug.",
              "\"You are a good friend,\" said {hero}."),
    ]


def plot_share(c):
    return [
        c.say("One day, {hero} had {food}.", "{His} mother gave {him} {food}.",
              "{hero} found {food} {at}."),
        c.say("It looked very good.", "{He} wanted to eat it all.", "{He} was very hungry."),
        c.say("Then {he} saw {friend}. {friend} looked sad and hungry.",
              "Then {friend} came. \"I am hungry,\" {friend_he} said."),
        c.say("{hero} thought for a moment.", "{hero} wanted to be kind.",
              "\"What should I do?\" {hero} thought."),
        c.say("\"Here, you can have half,\" {he} said.", "\"Let us share it,\" said {hero}.",
              "{He} gave half of it to {friend}."),
        c.say("{friend} smiled and said, \"Thank you!\"", "They ate together {at}.",
              "{friend} ate it all and felt much better."),
        c.say("The next day, {friend} gave {hero} {food2}.", "It is good to share."),
    ]


def plot_help(c):
    return [
        c.say("One day, {hero} saw {friend} {at}.", "One morning, {friend} came to see {hero}."),
        c.say("{friend} wanted to {job}, but it was too hard.",
              "\"I must {job}, but I am tired,\" said {friend}."),
        c.say("\"Do not worry. I will help you,\" said {hero}.",
              "\"We can do it together,\" {he} said."),
        c.say("They worked all day.", "They worked and sang.", "It took a long time."),
        c.say("When it was done, they were tired but happy.", "At last, the work was done."),
        c.say("{friend} made {food} to say thank you.", "\"You are so kind,\" said {friend}.",
              "Then they sat {at2} and ate {food}."),
    ]


def plot_fear(c):
    return [
        c.say("One night, there was a loud sound.", "One evening, it was very dark {at}.",
              "Then {he} heard something {hiding}."),
        c.say("{hero} was afraid.", "\"What is that?\" {he} asked.", "{He} wanted to run away."),
        c.say("But {hero} was brave. {He} took a lamp and went to look.",
              "{He} walked slowly, step by step.", "{He} held a light and looked {hiding}."),
        c.say("It was only {friend}! {friend} had lost the way home.",
              "It was only the wind. {hero} laughed.",
              "It was only a small {colour} bird. It could not sleep."),
        c.say("{hero} was not afraid any more.", "\"Do not be afraid,\" said {hero}."),
    ]


def plot_make(c):
    return [
        c.say("{hero} wanted to make {atoy}.", "One day, {hero} had an idea. \"I will make "
              "{atoy}!\""),
        c.say("{He} worked {at} for {n} days.", "{He} took some wood and some {colour} paint.",
              "{He} asked {friend} to help."),
        c.say("At first, it did not work, and {he} was sad.", "The first one broke.",
              "It was not easy."),
        c.say("\"Try again,\" said {friend}.", "But {hero} did not give up.", "So {he} tried again "
              "and again."),
        c.say("At last, the {toy} was done.", "In the end, it was the best {toy} of all."),
        c.say("{friend} said, \"What a fine {toy}!\"", "Everyone {at} wanted to see it.",
              "{hero} gave the {toy} to {friend}."),
    ]


def plot_rain(c):
    return [
        c.say("One day, {hero} and {friend} went to the {place2}.",
              "One day, {hero} walked to the {place2} with {friend}."),
        c.say("Then the sky was dark and it began to rain.", "Soon, it began to snow.",
              "Suddenly, there was a big storm."),
        c.say("\"We are wet and cold,\" said {friend}.", "They had no coat and no hat.",
              "{friend} was cold."),
        c.say("{hero} saw an old tree. They sat under it.", "They ran to the barn to stay dry.",
              "{hero} found a dry place {hiding}."),
        c.say("They told stories and ate {food}.", "They sang a song and waited.",
              "They counted to {n} and laughed."),
        c.say("Then the sun came out again.", "At last, the rain stopped.",
              "After the rain, the sky was full of colours."),
    ]


def plot_race(c):
    return [
        c.say("One day, {friend} said, \"Let us have a race!\"",
              "{hero} and {friend} wanted to have a race."),
        c.say("They ran from the {place} to the {place2}.", "All the animals came to see it.",
              "\"One, two, three, go!\""),
        c.say("{friend} was fast, but {hero} did not stop.", "{hero} was slow at first.",
              "{friend} ran so fast that {friend_he} fell down."),
        c.say("{hero} stopped to help {friend}.", "{hero} ran and ran.",
              "Then they ran side by side."),
        c.say("They came to the {place2} at the same time.", "In the end, {hero} won the race.",
              "In the end, {friend} won, and {hero} was glad."),
        c.say("\"That was fun!\" said {hero}.", "\"Let us do it again,\" said {friend}."),
    ]


def plot_gift(c):
    return [
        c.say("It was the birthday of {friend}.", "{friend} was sick and stayed in bed."),
        c.say("{hero} wanted to give {friend_him} something nice.",
              "\"What can I give {friend_him}?\" thought {hero}."),
        c.say("{He} went to the market and saw {atoy}.", "{He} found {atoy} {at}.",
              "{He} made {food}."),
        c.say("{hero} walked all the way to the house of {friend}.",
              "{He} ran to the house of {friend}."),
        c.say("\"This is for you,\" {he} said.", "\"I have something for you,\" said {hero}."),
        c.say("{friend} was so happy.", "{friend} smiled. \"Thank you, {hero}!\"",
              "\"It is just what I wanted,\" said {friend}."),
    ]


PLOTS = [plot_lost, plot_share, plot_help, plot_fear, plot_make, plot_rain, plot_race, plot_gift]


def story(rng, short=False, **cast):
    c = Cast(rng, **cast)
    plots = PLOTS if "toy" not in cast else [plot_lost, plot_make]
    middle = rng.choice(plots)(c)
    if short and len(middle) > 5 and rng.random() < 0.3:
        del middle[-1]
    sentences = opening(c)
    if rng.random() < 0.7:
        sentences += setting(c)
    sentences += middle
    friend, kind = c.words["friend"], c.words["friend_kind"]
    known = next((i for i, sentence in enumerate(sentences) if friend in sentence), None)
    if known is not None and kind not in ("boy", "girl"):  # "Max" is "Max the owl" at first
        named = f"{friend} the {kind}"
        if named not in sentences[known]:
            sentences[known] = sentences[known].replace(friend, named, 1)
    sentences += closing(c, known is not None)
    if not short and len(sentences) > 8 and rng.random() < 0.5:
        return " ".join(sentences[:4]) + "\n\n" + " ".join(sentences[4:])
    return " ".join(sentences)


# ------------------------------------------------------------------------- facts, counting, sums

def animal_fact(rng):
    if rng.random() < 0.25:
        kind = rng.choice(sorted(QUIET_ANIMALS))
        home, food, legs, can = QUIET_ANIMALS[kind]
        sound = None
    else:
        kind = rng.choice(sorted(ANIMALS))
        sound, home, food, legs, can = ANIMALS[kind]
    an = a(kind)
    choices = [f"{capital(an)} lives {home}.", f"{capital(an)} eats {food}.",
               f"{capital(an)} can {can}.",
               f"{capital(an)} has {NUMBERS[legs] if legs else 'no'} legs."]
    if sound:
        choices.append(f"{capital(an)} says {sound}.")
    rng.shuffle(choices)
    return " ".join([f"{capital(an)} is an animal."] * (rng.random() < 0.3)
                    + choices[:rng.randint(2, 4)])


def world_fact(rng):
    which = rng.randrange(5)
    if which == 0:
        picked = rng.sample(sorted(THING_COLOURS), rng.randint(2, 3))
        return " ".join(f"{capital(t)} is {THING_COLOURS[t]}." for t in picked)
    if which == 1:
        one, other = rng.choice(OPPOSITES)
        if rng.random() < 0.5:
            one, other = other, one
        return f"The opposite of {one} is {other}. The opposite of {other} is {one}."
    if which == 2:
        day = rng.randrange(7)
        return (f"{DAYS[(day + 1) % 7]} comes after {DAYS[day]}. "
                f"{DAYS[day]} comes before {DAYS[(day + 1) % 7]}.")
    if which == 3:
        season = rng.choice(sorted(SEASONS))
        return f"In {season}, {SEASONS[season]}."
    thing = rng.choice(sorted(USES))
    return f"We use {thing} {USES[thing]}."


def facts(rng):
    return " ".join(rng.choice([animal_fact, world_fact])(rng) for _ in range(rng.randint(2, 5)))


def counting_text(first, last, words):
    numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return ", ".join(NUMBERS[n] if words else str(n) for n in numbers) + "."


def counting_range(rng):
    first = 1 if rng.random() < 0.6 else rng.randint(0, 12)
    last = rng.randint(first + 2, min(20, first + 10))
    return (last, first) if rng.random() < 0.15 else (first, last)


def sum_parts(rng):
    """Digits, "a + b" or "a - b", and the result; all between 0 and 20."""
    if rng.random() < 0.7:
        x, y = rng.randint(0, 10), rng.randint(0, 10)
        return x, "+", y, x + y
    x = rng.randint(0, 10)
    y = rng.randint(0, x)
    return x, "-", y, x - y


def object_sum(rng):
    c = Cast(rng)
    thing = rng.choice(["apple", "ball", "cookie", "hat", "egg", "flower", "cup", "book"])
    x, y = rng.randint(2, 6), rng.randint(1, 5)
    he = c.words["hero_he"]
    if rng.random() < 0.6 or y >= x:
        return (f"{c.words['hero']} has {NUMBERS[x]} {plural(thing)}. {capital(he)} gets "
                f"{NUMBERS[y]} more.", f"Now {he} has {NUMBERS[x + y]} {plural(thing)}.")
    left = x - y
    left_words = f"{NUMBERS[left]} {plural(thing) if left != 1 else thing}"
    return (f"{c.words['hero']} has {NUMBERS[x]} {plural(thing)}. {capital(he)} gives "
            f"{NUMBERS[y]} away.", f"Now {he} has {left_words}.")


def arithmetic(rng):
    lines = []
    for _ in range(rng.randint(2, 6)):
        x, sign, y, result = sum_parts(rng)
        lines.append(f"{x} {sign} {y} = {result}")
    which = rng.random()
    if which < 0.4:
        return "\n".join(lines)
    if which < 0.7:
        first, last = counting_range(rng)
        return (f"Count from {first} to {last}: "
                + counting_text(first, last, rng.random() < 0.4))
    return " ".join(object_sum(rng))


# ----------------------------------------------------------------------------------------- chats

def ask_who(rng):
    return rng.choice([
        ("Who are you?", "I am Tiny, a small language model."),
        ("Who are you?", "I am Tiny, a small language model. I can talk and tell stories."),
        ("What is your name?", "My name is Tiny."),
        ("What are you?", "I am a very small language model. My name is Tiny."),
        ("Who made you?", "I was made with Athanor. I learned from simple stories."),
        ("Where do you live?", "I live in a computer. It is warm here."),
        ("What can you do?", "I can tell a story, count, and talk about animals and colours."),
        ("Are you a person?", "No, I am not a person. I am a small language model."),
        ("How old are you?", "I am very young. I was made not long ago."),
        ("Do you like stories?", "Yes, I like stories very much. Do you want to hear one?"),
        ("What do you like?", "I like stories, animals and the colour blue."),
        ("Can you help me?", "Yes, I can help you. What do you want to know?"),
    ])


def ask_greeting(rng):
    hello = rng.choice(["Hello!", "Hi!", "Good morning!", "Hello, Tiny!", "Hi there!"])
    return rng.choice([
        (hello, rng.choice(["Hello! How are you?", "Hi! How can I help you?",
                            "Hello! It is good to see you."])),
        ("How are you?", rng.choice(["I am fine, thank you. How are you?",
                                     "I am very well, thank you."])),
        (f"My name is {(name := rng.choice(BOYS + GIRLS))}.", f"Hello, {name}! I am Tiny."),
        ("I am sad.", "I am sorry that you are sad. Do you want to hear a story?"),
        ("I am happy today.", "That is good! I am happy too."),
        ("I am hungry.", f"Then you can eat {rng.choice(FOODS)}."),
        ("I am tired.", "Then you should sleep. Good night!"),
        ("I am cold.", "Then you should put on a coat."),
    ])


def ask_goodbye(rng):
    return rng.choice([
        ("Thank you!", "You are welcome!"), ("Thank you, Tiny.", "You are welcome!"),
        ("Goodbye!", "Goodbye! See you soon."), ("Good night!", "Good night! Sleep well."),
        ("Bye!", "Goodbye! Have a nice day."), ("That is nice.", "I am glad that you like it."),
    ])


def ask_colour(rng):
    thing = rng.choice(sorted(THING_COLOURS))
    colour = THING_COLOURS[thing]
    if rng.random() < 0.65:
        question = rng.choice([f"What colour is {thing}?", f"What is the colour of {thing}?"])
        return question, f"{capital(thing)} is {colour}."
    guess = colour if rng.random() < 0.5 else rng.choice(COLOURS)
    if guess == colour:
        return f"Is {thing} {guess}?", f"Yes, {thing} is {colour}."
    return f"Is {thing} {guess}?", f"No, {thing} is not {guess}. {capital(thing)} is {colour}."


def ask_animal(rng):
    kind = rng.choice(sorted(ANIMALS) + sorted(QUIET_ANIMALS))
    sound, home, food, legs, can = ANIMALS.get(kind) or (None, *QUIET_ANIMALS[kind])
    an = a(kind)
    choices = [
        (f"Where does {an} live?", f"{capital(an)} lives {home}."),
        (f"What does {an} eat?", f"{capital(an)} eats {food}."),
        (f"What can {an} do?", f"{capital(an)} can {can}."),
        (f"How many legs does {an} have?",
         f"{capital(an)} has {NUMBERS[legs] if legs else 'no'} legs."),
        (f"Tell me about the {kind}.",
         f"{capital(an)} lives {home}. It eats {food}. It can {can}."),
        (f"Do you like {plural(kind)}?", f"Yes, I like {plural(kind)}. {capital(an)} can {can}."),
    ]
    if sound:
        choices += [(f"What does {an} say?", f"{capital(an)} says {sound}."),
                    (f"What sound does {an} make?", f"{capital(an)} says {sound}."),
                    (f"Which animal says {sound}?", f"{capital(an)} says {sound}.")]
    return rng.choice(choices)


def ask_sum(rng):
    x, sign, y, result = sum_parts(rng)
    spoken = "plus" if sign == "+" else "minus"
    which = rng.randrange(4)
    if which == 0:
        return f"What is {x} {sign} {y}?", f"{x} {sign} {y} = {result}."
    if which == 1:
        return f"What is {x} {spoken} {y}?", f"{x} {spoken} {y} is {result}."
    if which == 2:
        return (f"What is {NUMBERS[x]} {spoken} {NUMBERS[y]}?",
                f"{capital(NUMBERS[x])} {spoken} {NUMBERS[y]} is {NUMBERS[result]}.")
    told, answer = object_sum(rng)
    return told + " How many are there now?", answer


def ask_count(rng):
    first, last = counting_range(rng)
    words = rng.random() < 0.5
    show = (lambda n: NUMBERS[n]) if words else str
    question = (f"Can you count to {show(last)}?" if first == 1 and rng.random() < 0.5
                else f"Count from {show(first)} to {show(last)}.")
    return question, capital(counting_text(first, last, words))


def ask_world(rng):
    which = rng.randrange(5)
    if which == 0:
        one, other = rng.choice(OPPOSITES)
        if rng.random() < 0.5:
            one, other = other, one
        return f"What is the opposite of {one}?", f"The opposite of {one} is {other}."
    if which == 1:
        day = rng.randrange(7)
        if rng.random() < 0.5:
            return (f"What day comes after {DAYS[day]}?",
                    f"{DAYS[(day + 1) % 7]} comes after {DAYS[day]}.")
        return (f"What day comes before {DAYS[(day + 1) % 7]}?",
                f"{DAYS[day]} comes before {DAYS[(day + 1) % 7]}.")
    if which == 2:
        season = rng.choice(sorted(SEASONS))
        return f"What happens in {season}?", f"In {season}, {SEASONS[season]}."
    if which == 3:
        thing = rng.choice(sorted(USES))
        return f"What do we do with {thing}?", f"We use {thing} {USES[thing]}."
    return rng.choice([
        ("What are the days of the week?", "The days are " + ", ".join(DAYS[:-1])
         + " and " + DAYS[-1] + "."),
        ("What are the seasons?", "The seasons are spring, summer, autumn and winter."),
        ("When do we sleep?", "We sleep at night."), ("When does the sun shine?",
                                                      "The sun shines in the day."),
        ("What falls from the sky?", "Rain and snow fall from the sky."),
        ("Is fire hot?", "Yes, fire is very hot. Do not touch it."),
        ("Is snow warm?", "No, snow is cold."), ("What keeps you warm?", "A fire keeps me warm."),
        ("What is the moon?", "The moon is a light in the night sky."),
        ("What do you see at night?", "At night, I see the moon and the stars."),
        ("What is your favourite colour?", "I like blue best. The sky is blue."),
        ("What is your favourite animal?", "I like cats and dogs best."),
        ("How far is the moon?", "I do not know that. I am only a small model."),
        ("What is the meaning of life?", "I do not know that. I think it is good to be kind."),
        ("Who is the king?", "I do not know that. I am only a small model."),
    ])


def ask_story(rng):
    which = rng.randrange(4)
    start = rng.choice(["Tell me a story about", "Can you tell me a story about",
                        "Please tell me a story about", "I want a story about"])
    end = "?" if start.startswith("Can") else "."
    if which == 0:
        return (rng.choice(["Tell me a story.", "Please tell me a story.",
                            "Can you tell me a story?"]), story(rng, short=True))
    if which == 1:
        kind = rng.choice(STORY_ANIMALS)
        return f"{start} {a(kind)}{end}", story(rng, short=True, kind=kind)
    if which == 2:
        name = rng.choice(BOYS + GIRLS)
        what = name if rng.random() < 0.5 else f"a {'boy' if name in BOYS else 'girl'} named {name}"
        return f"{start} {what}{end}", story(rng, short=True, name=name)
    toy = rng.choice(TOYS)
    return f"{start} {a(toy)}{end}", story(rng, short=True, toy=toy)


def ask_repeat(rng):
    """Saying a sentence again: teaches a small model early to copy names and things."""
    person, thing = rng.choice(BOYS + GIRLS), f"{rng.choice(COLOURS)} {rng.choice(TOYS)}"
    kind, other = rng.sample(STORY_ANIMALS, 2)
    names = ", ".join(rng.sample(BOYS + GIRLS + COLOURS, rng.randint(3, 5)))
    sentence = rng.choice([f"{person} has {a(thing)}.", f"The {kind} and the {other} are friends.",
                           f"{person} likes the {kind}.", f"{capital(names)}."])
    return rng.choice(["Say this: ", "Please say: ", "Repeat after me: "]) + sentence, sentence


def ask_read(rng):
    """A question about what was just told."""
    people = rng.sample(BOYS + GIRLS, rng.randint(2, 3))
    things = [f"{colour} {toy}" for colour, toy in zip(rng.sample(COLOURS, len(people)),
                                                       rng.sample(TOYS, len(people)))]
    places = rng.sample(sorted(PLACES.values()), len(people))
    who = rng.randrange(len(people))
    person, thing, place = people[who], things[who], places[who]
    if rng.random() < 0.6:
        told = " ".join(f"{p} has {a(t)}." for p, t in zip(people, things))
        question, answer = rng.choice([
            (f"What does {person} have?", f"{person} has {a(thing)}."),
            (f"Who has the {thing}?", f"{person} has the {thing}."),
            (f"What colour is the {thing.split()[1]}?", f"The {thing.split()[1]} is "
             f"{thing.split()[0]}.")])
    else:
        told = " ".join(f"{p} is {at}." for p, at in zip(people, places))
        question, answer = rng.choice([(f"Where is {person}?", f"{person} is {place}."),
                                       (f"Who is {place}?", f"{person} is {place}.")])
    return f"{told} {question}", answer


TOPICS = [(ask_who, 3), (ask_greeting, 2), (ask_colour, 3), (ask_animal, 4), (ask_sum, 4),
          (ask_count, 2), (ask_world, 4), (ask_story, 3), (ask_repeat, 2),
          (ask_read, 3)]


def chat(rng):
    functions, weights = zip(*TOPICS)
    turns = [ask_greeting(rng)] if rng.random() < 0.2 else []
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])):
        turns.append(rng.choices(functions, weights)[0](rng))
    if rng.random() < 0.25:
        turns.append(ask_goodbye(rng))
    text = ""
    for question, answer in turns:
        if rng.random() < 0.08:  # people do not always write carefully
            question = question.lower()
        elif rng.random() < 0.05:
            question = question.rstrip("?.!")
        text += f"<|im_start|>user\n{question}<|im_end|>\n"
        text += f"<|im_start|>assistant\n{answer}<|im_end|>\n"
    return text


# ------------------------------------------------------------------------------------------ main

SHARES = [(story, 0.44), (chat, 0.38), (facts, 0.10), (arithmetic, 0.08)]


def write_corpus(path, size, seed):
    """Writes documents until their text has `size` bytes; returns (documents, bytes)."""
    rng = random.Random(seed)
    written = {function: 0 for function, _ in SHARES}
    documents = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        while (total := sum(written.values())) < size:
            # The kind that is furthest behind its share of the bytes, with some randomness.
            function = min(SHARES, key=lambda s: written[s[0]] / (total + 1) / s[1]
                           + 0.02 * rng.random())[0]
            text = function(rng)
            written[function] += len(text.encode())
            documents += 1
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return documents, sum(written.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="JSONL file to write")
    parser.add_argument("--size", type=int, default=8_000_000, help="bytes of text (8000000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    documents, size = write_corpus(arguments.output, arguments.size, arguments.seed)
    print(f"{arguments.output}: {documents} documents, {size} bytes of text")


if __name__ == "__main__":
    main()
