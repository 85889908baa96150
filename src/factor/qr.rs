//! Draws QR codes in the process, so that the secret in them goes nowhere.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use qrcode::{Color, EcLevel, QrCode};

use crate::secret::Secret;

/// Pixels to the side of a module.
const SCALE: usize = 6;
/// The white border that readers need, in modules.
const QUIET: usize = 4;

/// The text as a QR code: a PNG picture as data URI.
pub fn data_uri(text: &str) -> anyhow::Result<Secret<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).context("too much text for a QR code")?;
    let png = Secret::new(draw(&code)?);
    Ok(Secret::new(format!("data:image/png;base64,{}", STANDARD.encode(png.expose()))))
}

fn draw(code: &QrCode) -> anyhow::Result<Vec<u8>> {
    let modules = code.width();
    let side = (modules + 2 * QUIET) * SCALE;
    let mut pixels = vec![u8::MAX; side * side];
    for (index, module) in code.to_colors().into_iter().enumerate() {
        if module == Color::Dark {
            let (left, top) = ((index % modules + QUIET) * SCALE, (index / modules + QUIET) * SCALE);
            for row in top..top + SCALE {
                pixels[row * side + left..row * side + left + SCALE].fill(0);
            }
        }
    }
    let side = u32::try_from(side)?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_a_square_in_its_place_within_a_white_margin() -> anyhow::Result<()> {
        let code = QrCode::with_error_correction_level("otpauth://totp/x?secret=ABC", EcLevel::M)?;
        let picture = draw(&code)?;
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info()?;
        let side = (code.width() + 2 * QUIET) * SCALE;
        let mut pixels = vec![0; side * side];
        let frame = reader.next_frame(&mut pixels)?;
        assert_eq!((frame.width as usize, frame.height as usize), (side, side));
        let colors = code.to_colors();
        for (index, pixel) in pixels.iter().enumerate() {
            let (x, y) = (index % side / SCALE, index / side / SCALE);
            let is_inside = |at: usize| (QUIET..QUIET + code.width()).contains(&at);
            let is_dark = is_inside(x) && is_inside(y) && colors[(y - QUIET) * code.width() + x - QUIET] == Color::Dark;
            assert_eq!(*pixel, if is_dark { 0 } else { u8::MAX }, "{x} {y}");
        }
        Ok(())
    }
}
