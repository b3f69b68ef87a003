"""Names that pseudonyms are made of: common given names and surnames, and syllables for surnames that nobody has."""

from __future__ import annotations

GIVEN = tuple(
    """
    Ada Adam Adele Agnes Aida Alan Alba Albert Alena Alex Alfred Alice Alina Alma Amalia Amir Amos Ana Andrea Andre
    Anette Angela Anita Anja Anna Anton Arne Artur Astrid August Aurel Axel Barbara Beate Bella Benno Berta Bianca
    Birgit Boris Brigitte Bruno Camilla Carla Carlo Carmen Casper Celia Chiara Clara Claudia Clemens Conrad Cora
    Corinna Cyril Dagmar Damian Dana Daniel Daria David Delia Denis Diana Dina Dino Dora Doris Edda Edgar Edith Edwin
    Elena Eli Elias Elisa Ella Elsa Emil Emilia Emma Enno Erik Erika Erna Ernst Esther Eugen Eva Fabian Fanny Felix
    Fiona Flora Florian Franz Freya Frida Gabriel Georg Gerda Gina Greta Gregor Gudrun Gustav Hanna Hannes Harald
    Heidi Helena Helga Henri Hilda Hugo Ida Ilse Imre Ina Ines Inga Ingo Irene Iris Isa Ivan Ivo Jakob Jan Jana Janis
    Jasmin Jonas Josef Judith Julia Julius Juri Karin Karl Katja Klara Klaus Konrad Lara Lars Laura Lea Lena Leo
    Leonie Lina Linus Lisa Livia Lore Lorenz Lotte Louis Luca Lucia Ludwig Luise Lukas Luna Lydia Magda Malte Manuel
    Mara Marco Maria Marie Mario Marta Martin Matteo Maxim Maya Melina Merle Mia Mila Milan Mina Mira Miriam Moritz
    Nadia Nele Nico Nils Nina Noah Noemi Nora Odo Ole Olga Oliver Oscar Otto Paul Paula Pauline Peer Petra Philip
    Pia Pola Quentin Ralf Raul Rea Regina Rene Rita Robert Roman Romy Rosa Ruben Rufus Runa Ruth Sara Sascha Selma
    Silas Silvia Simon Sina Sofia Sonja Stella Sven Svea Tamara Tara Tessa Theo Thea Tilda Till Timo Tina Tobias Toni
    Ulla Ulrich Uma Ursula Vera Veit Viktor Viola Vincent Wanda Werner Wilma Xaver Yara Yves Yvonne Zeno Zita Zoe
    """.split()  # noqa: SIM905  # words are read and changed more easily than a list of quoted ones
)
FAMILY = tuple(
    """
    Abel Adler Albers Alder Anders Arndt Bach Baker Barth Bauer Baum Beck Becker Behr Berger Bergmann Bernard Blum
    Bock Bohm Born Brand Braun Breuer Brock Brook Bruhn Buck Busch Carver Clark Cole Conti Cooper Cramer Dahl Daum
    Decker Dietz Dorn Drake Ebert Eck Eder Engel Ernst Esser Falk Faust Feld Fiedler Fink Fischer Fleming Forster
    Frank Frey Fried Fuchs Funk Gabler Garcia Gardner Geiger Gerlach Glaser Gold Graf Gray Grimm Gross Haas Hagen
    Hahn Hall Hansen Hardt Harms Hart Haupt Heck Heim Held Heller Herz Hesse Hill Hirsch Hoff Holm Holt Horn Huber
    Hunt Ihle Irving Jahn Jansen Jordan Jung Junker Kahn Kaiser Kamp Karg Kast Keller Kern Kessel Kirch Klein Klug
    Knapp Knoll Koch Kohl Kolb Kraft Kramer Kraus Krebs Krug Kuhn Kunz Kurz Lamm Lang Lange Laub Lehmann Lenz Lind
    Link Linn Lohse Lorenz Ludwig Lutz Maas Mann Marks Martin May Meer Mehl Meier Mertens Metz Meyer Miller Moll
    Moore Moser Muhl Nagel Neumann Nolte Nord Nowak Oak Ohm Olsen Ortiz Ott Otte Palm Park Paulsen Peters Pfaff Pohl
    Pool Porter Probst Quast Raabe Rabe Rau Rausch Reed Reich Reuter Rice Richter Riedel Ritter Roberts Rohde Rose
    Roth Rudolf Ruf Sander Sauer Schmidt Schmitz Schulz Schwarz Seidel Seiler Simon Singer Sommer Sperling Stark
    Stein Stern Stock Stolz Storm Strauss Sturm Tanner Taylor Thiel Thoma Timm Ulrich Unger Urban Vogel Vogt Voss
    Wagner Wald Walker Walter Weber Wegner Weiss Wells Wendt Werner West Wilde Winkler Winter Wirth Wolf Wood Zander
    Zeller Ziegler Zimmer Zorn
    """.split()  # noqa: SIM905  # as above
)
_ONSETS = ("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z")
_VOWELS = ("a", "e", "i", "o")
SYLLABLES = tuple(onset + vowel for onset in _ONSETS for vowel in _VOWELS)
"""64 of them: six bits each."""


def coined(number: int, syllables: int = 4) -> str:
    """Return the surname that a number below 64 ** ``syllables`` spells; another number is another name."""
    spelled = ""
    for _ in range(syllables):
        number, place = divmod(number, len(SYLLABLES))
        spelled += SYLLABLES[place]
    return spelled.capitalize()
