using System.Text.RegularExpressions;
using Millrace.Streams.Names;

namespace Millrace.Tests.Streams;

public sealed class KeyTextTests
{
    [Theory]
    [InlineData("6F7264657273", "orders")]
    [InlineData("", "")]
    [InlineData("C3A9F09F9880", "é😀")]
    [InlineData("61FF62", "a|FFb")]
    [InlineData("C3", "|C3")]
    [InlineData("EDA080", "|ED|A0|80")]
    [InlineData("F09F98", "|F0|9F|98")]
    public void Bytes_have_one_text_and_come_back(string hex, string described)
    {
        // Metadata of attributes is UTF-8 and cannot hold half a pair: |HH stands for it.
        var bytes = Convert.FromHexString(hex);
        var text = Regex.Replace(
            described, "\\|(..)", match => ((char)(0xDC00 + Convert.ToByte(match.Groups[1].Value, 16))).ToString(), RegexOptions.CultureInvariant);

        Assert.Equal(text, KeyText.Decode(bytes));
        Assert.Equal(bytes, KeyText.Encode(text));
        Assert.Equal(bytes.Length, KeyText.ByteCount(text));
    }

    [Fact]
    public void Random_bytes_come_back()
    {
        var random = new Random(7);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = new byte[random.Next(12)];
            random.NextBytes(bytes);

            // Half of them near valid sequences.
            if (i % 2 == 0)
                "é😀€"u8.Slice(random.Next(3), Math.Min(bytes.Length, 4)).CopyTo(bytes);
            Assert.Equal(bytes, KeyText.Encode(KeyText.Decode(bytes)));
        }
    }

    [Fact]
    public void Names_are_ordered_by_their_bytes()
    {
        // By UTF-16 the surrogate pair of the first comes before U+FFFD; by bytes F0 comes after EF.
        Assert.True(KeyText.ByteComparer.Compare("😀", "\uFFFD") > 0);
        Assert.True(string.CompareOrdinal("😀", "\uFFFD") < 0);
        Assert.True(KeyText.ByteComparer.Compare("a", "b") < 0);
        Assert.Equal(0, KeyText.ByteComparer.Compare("é", "é"));
    }
}
