"""Draw digits as people write them with a pen, and make photographs of the sheets."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINER = 2  # Drawn so much larger, and scaled down, for smooth edges.

#: The strokes of each digit: points on a curve, from the top left corner to (1, 1). A digit with
#: several shapes is written differently by different hands.
STROKES = {
    0: [[[(50, 0), (15, 25), (10, 60), (40, 100), (80, 80), (90, 35), (60, 2), (45, 3)]]],
    1: [[[(55, 0), (50, 50), (45, 100)]], [[(25, 22), (55, 0)], [(55, 0), (52, 50), (50, 100)]]],
    2: [
        [
            [(10, 25), (35, 2), (75, 8), (78, 35), (45, 68), (5, 97)],
            [(5, 97), (40, 95), (95, 98)],
        ],
        [
            [(12, 20), (40, 0), (78, 14), (68, 48), (35, 85), (10, 92), (12, 78), (35, 82)],
            [(35, 82), (65, 97), (98, 88)],
        ],
    ],
    3: [
        [
            [(12, 12), (45, 0), (80, 15), (70, 38), (35, 48)],
            [(35, 48), (75, 55), (85, 80), (50, 100), (8, 90)],
        ]
    ],
    4: [
        [
            [(18, 0), (14, 28), (10, 52)],
            [(10, 52), (50, 50), (90, 48)],
            [(80, 5), (74, 55), (70, 100)],
        ],
        [
            [(22, 2), (18, 30), (20, 48)],
            [(20, 48), (48, 54), (82, 42)],
            [(84, 0), (80, 50), (68, 100)],
        ],
    ],
    5: [
        [
            [(88, 3), (55, 4), (25, 6)],
            [(25, 6), (22, 25), (18, 45)],
            [(18, 45), (55, 38), (82, 62), (62, 94), (8, 95)],
        ]
    ],
    6: [[[(68, 0), (35, 25), (15, 65), (35, 98), (72, 92), (80, 68), (52, 55), (20, 72)]]],
    7: [
        [[(8, 8), (45, 5), (88, 5)], [(88, 5), (60, 48), (40, 100)]],
        [[(8, 12), (40, 8), (86, 3)], [(86, 3), (70, 50), (58, 100)]],
    ],
    8: [
        [
            [
                *[(80, 14), (50, 0), (22, 20), (48, 45), (78, 72), (55, 100), (20, 86)],
                *[(35, 60), (62, 40), (80, 14)],
            ]
        ]
    ],
    9: [
        [
            [(78, 12), (45, 2), (14, 28), (38, 48), (75, 32), (80, 10)],
            [(80, 10), (76, 55), (66, 100)],
        ]
    ],
}


def drawn(
    digit: int, hand: np.random.Generator, size: int = 400, pen: float | None = None
) -> np.ndarray:
    """Return a digit that a hand drew on a square sheet, as ink from 0 to 1.

    Parameters
    ----------
    digit : int
    hand : numpy.random.Generator
        Decides shape, slant, width, pen and place.
    size : int
        The side of the sheet in pixels.
    pen : float, optional
        The width of a stroke, as a share of the digit's height. The hand decides without it.
    """
    shapes = STROKES[digit]
    strokes = shapes[hand.integers(len(shapes))]
    height = size * hand.uniform(0.3, 0.6)
    width, slant = height * hand.uniform(0.5, 0.75), hand.uniform(-0.05, 0.3)
    angle = np.radians(hand.uniform(-6, 6))
    width_of_pen = height * (pen or hand.uniform(0.06, 0.13))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    room = size / 2 - 0.75 * height
    centre = size / 2 + hand.uniform(-room, room, 2)
    sheet = Image.new("L", (FINER * size, FINER * size))
    pencil = ImageDraw.Draw(sheet)
    wobble = {}
    for stroke in strokes:
        # The same point of two strokes stays one point.
        points = [
            np.array(point) / 100 - 0.5 + wobble.setdefault(point, hand.normal(0, 0.018, 2))
            for point in stroke
        ]
        placed = [
            centre + turn @ (x * width - slant * y * height, y * height)
            for x, y in curve(np.array(points))
        ]
        radius = FINER * width_of_pen / 2
        for x, y in FINER * np.array(placed):
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return np.asarray(sheet.resize((size, size), Image.Resampling.BOX)) / 255


def curve(points: np.ndarray) -> np.ndarray:
    """Return points of a smooth curve through the given ones: a Catmull-Rom spline."""
    ends = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    t = np.linspace(0, 1, 50)[:, np.newaxis]
    pieces = []
    for before, start, end, after in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        pieces.append(
            start
            + t * (end - before) / 2
            + t**2 * (before - 2.5 * start + 2 * end - after / 2)
            + t**3 * (1.5 * (start - end) + (after - before) / 2)
        )
    return np.concatenate(pieces)


def drawing(digit: int, hand: np.random.Generator, pen: float | None = None) -> Image.Image:
    """Return a digit as a program for drawings saves it: black on white, or white on black."""
    ink = np.rint(255 * drawn(digit, hand, pen=pen)).astype(np.uint8)
    return Image.fromarray(255 - ink if hand.random() < 0.5 else ink)


def photograph(digit: int, hand: np.random.Generator, pen: float | None = None) -> Image.Image:
    """Return a photograph of a digit on paper: shaded, blurred, noisy, tilted, and in JPEG."""
    size = 400
    ink = drawn(digit, hand, size, pen)[..., np.newaxis]
    paper = np.array([238, 232, 220]) * hand.uniform(0.8, 1)
    inks = np.array([(40, 50, 110), (45, 45, 48), (90, 88, 85)])
    colour = inks[hand.integers(len(inks))]
    pixels = paper * (1 - ink) + colour * ink
    # The paper's fibres, and blots as wide as a finger.
    pixels += smoothed(hand, size, 2, 5) + smoothed(hand, size, 40, 5)
    # The lamp is on one side, and the photographer's shadow falls on the sheet.
    y, x = np.mgrid[-1:1:400j, -1:1:400j]
    slope = hand.uniform(-0.25, 0.25, 2)
    shadow = 1 / (1 + np.exp(-(x * hand.choice([-1, 1]) + y + hand.uniform(-0.5, 0.5)) / 0.1))
    light = 0.8 + slope[0] * x + slope[1] * y - hand.uniform(0, 0.25) * shadow
    picture = Image.fromarray(np.clip(pixels * light[..., np.newaxis], 0, 255).astype(np.uint8))
    corners = np.array([(0, 0), (0, size), (size, size), (size, 0)]) + hand.uniform(
        -20, 40, (4, 2)
    ) * [*[(1, 1), (1, -1), (-1, -1), (-1, 1)]]
    picture = picture.transform(
        (size, size),
        Image.Transform.QUAD,
        corners.ravel().tolist(),
        Image.Resampling.BICUBIC,
        fillcolor=(70, 55, 45),
    )
    picture = picture.filter(ImageFilter.GaussianBlur(hand.uniform(0.5, 1.5)))
    noisy = np.asarray(picture) + hand.normal(0, hand.uniform(2, 6), (size, size, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return Image.open(file)


def smoothed(hand: np.random.Generator, size: int, width: int, strength: float) -> np.ndarray:
    """Return noise with structures of a width in pixels, shape (size, size, 1)."""
    coarse = hand.normal(0, strength, (size // width + 2,) * 2).astype(np.float32)
    fine = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(fine)[..., np.newaxis]
